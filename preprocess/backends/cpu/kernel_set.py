"""Chooses between the two kinds of kernels: in C, compiled at installation, and numba's, compiled at their first call.

Both have the same names and arguments; `tests/contract/kernels/test_*twins.py` say how closely they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from preprocess.backends.compiled.available import compiled_kernels

Kernel = Callable[..., Any]


class KernelSet:
    """Kernels by their names, as attributes; numba is imported when the first one is asked for that is not in C.

    Parameters
    ----------
    kind : str
        `auto`: those in C where they were compiled, and where `CRYOFERRY_KERNELS` does not say `numba`; `numba`: none.
    """

    def __init__(self, kind: Literal["auto", "numba"] = "auto") -> None:
        self._in_c = compiled_kernels() if kind == "auto" else None

    @property
    def are_compiled(self) -> bool:
        """Return whether kernels in C are used."""
        return self._in_c is not None

    def __getattr__(self, name: str) -> Kernel:
        kernel: Kernel = getattr(self._in_c, name, None) or self._of_numba(name)
        setattr(self, name, kernel)
        return kernel

    def _of_numba(self, name: str) -> Kernel:
        for module in self.numba_modules():
            if hasattr(module, name):
                kernel: Kernel = getattr(module, name)
                return kernel
        raise AttributeError(f"there is no kernel {name!r}")

    def numba_modules(self) -> tuple[ModuleType, ...]:
        """Return the modules that hold numba's kernels."""
        from preprocess.backends.cpu import (  # noqa: PLC0415 - numba is slow to import
            frame_kernels,
            image_kernels,
            pixel_kernels,
            split_kernels,
            tile_kernels,
        )

        return frame_kernels, image_kernels, pixel_kernels, split_kernels, tile_kernels
