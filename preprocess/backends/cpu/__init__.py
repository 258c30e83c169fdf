"""The kernels on the CPU: compiled by numba, transforms by scipy.fft."""
