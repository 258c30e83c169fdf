"""The kernels of CTF estimation: those in C where they were compiled, else numba's."""

from __future__ import annotations

from types import ModuleType

from preprocess.backends.cpu.kernel_set import KernelSet


class CtfKernelSet(KernelSet):
    """Kernels of CTF estimation by their names."""

    def numba_modules(self) -> tuple[ModuleType, ...]:
        """Return the modules of `preprocess.ctf` that hold numba's kernels."""
        from preprocess.ctf import kernels, likelihood_kernels  # noqa: PLC0415 - numba is slow to import

        return kernels, likelihood_kernels


ctf_kernels = CtfKernelSet()
