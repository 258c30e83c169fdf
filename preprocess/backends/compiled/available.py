"""Says whether the kernels in C can be used: they are compiled when cryoferry is installed, if there is a compiler."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping

from preprocess.backends.compiled.calls import KernelCalls

KERNELS_VARIABLE = "CRYOFERRY_KERNELS"
"""Environment variable; with the value `numba`, the kernels in C are not used."""

WHAT_IS_MISSING = "the kernels in C were not compiled when cryoferry was installed, so alignment takes longer"
HOW_TO_COMPILE = "Install a C compiler (gcc) and install cryoferry again."

_EXTENSION = "preprocess.backends.compiled._kernels"


def compiled_kernels(environment: Mapping[str, str] = os.environ) -> KernelCalls | None:
    """Return the kernels in C; None if they are missing or not wanted."""
    if environment.get(KERNELS_VARIABLE) == "numba":
        return None
    try:
        extension = importlib.import_module(_EXTENSION)
    except ImportError:
        return None
    return KernelCalls(extension.ffi, extension.lib)


def kernels_are_missing() -> bool:
    """Return whether nothing was compiled, or what was cannot be loaded."""
    return compiled_kernels({}) is None
