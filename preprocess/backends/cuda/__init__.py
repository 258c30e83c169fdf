"""The backend of CUDA devices: CuPy for memory, streams and transforms, kernels of its own for all else."""
