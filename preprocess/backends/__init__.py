"""The few kernels that must be fast, on the CPU and on a GPU, behind one contract."""
