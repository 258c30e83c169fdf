"""The kernels on the CPU: in C or compiled by numba, transforms by SciPy."""
