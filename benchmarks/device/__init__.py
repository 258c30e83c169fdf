"""A CUDA device: stages, bytes and arithmetic against plain copying."""
