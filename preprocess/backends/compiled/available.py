"""Says whether the kernels in C can be used: they are compiled when cryoferry is installed, if there is a compiler."""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from preprocess.backends.compiled.calls import KernelCalls

KERNELS_VARIABLE = "CRYOFERRY_KERNELS"
"""Environment variable; with the value `numba`, the kernels in C are not used."""

WHAT_IS_MISSING = (
    "the kernels in C were not compiled when this version was installed, so alignment takes about 1.4 times as long"
)
HOW_TO_COMPILE = "Install a C compiler (gcc) and install cryoferry again."

_EXTENSION = "preprocess.backends.compiled._kernels"


def compiled_kernels(environment: Mapping[str, str] = os.environ) -> KernelCalls | None:
    """Return the kernels in C; None if they are missing or not wanted.

    They are missing, too, where the sources were updated and nothing was compiled since.
    """
    return None if environment.get(KERNELS_VARIABLE) == "numba" else _loaded()


@cache
def _loaded() -> KernelCalls | None:
    try:
        extension = importlib.import_module(_EXTENSION)
    except ImportError:
        return None
    found = getattr(extension.lib, "DECLARATIONS_CRC32", None)
    declared = zlib.crc32(Path(__file__).with_name("kernels.h").read_bytes())
    return KernelCalls(extension.ffi, extension.lib) if found == declared else None


def kernels_are_missing() -> bool:
    """Return whether nothing was compiled, or what was cannot be loaded."""
    return compiled_kernels({}) is None
