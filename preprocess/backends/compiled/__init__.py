"""Kernels in C, compiled when cryoferry is installed: each does what numba's kernel of the same name does."""
