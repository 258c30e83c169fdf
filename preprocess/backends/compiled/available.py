"""Says whether the kernels in C can be used: they are compiled when cryoferry is installed, if there is a compiler."""

from __future__ import annotations

import importlib
import importlib.util
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from preprocess.backends.compiled.calls import KernelCalls
from preprocess.backends.compiled.chosen_kernels import kernels_are_off
from preprocess.backends.compiled.whole_library import why_not_whole

_EXTENSION = "preprocess.backends.compiled._kernels"
_CONSEQUENCE = "so numba's are used, and alignment takes about 1.4 times as long"
_COMPILE_AGAIN = (
    "Compile them again: `make install`, or `python setup.py build_ext --inplace` in the folder of the checkout."
)


@dataclass(frozen=True, slots=True)
class KernelTrouble:
    """Why the kernels in C cannot be used, with the consequence, and what a person can do."""

    text: str
    what_to_do: str


def compiled_kernels(environment: Mapping[str, str] = os.environ) -> KernelCalls | None:
    """Return the kernels in C; None if they cannot be used, or are switched off.

    Raises
    ------
    KernelsUnknown
        The environment asks for kernels that do not exist.
    """
    return None if kernels_are_off(environment) else _loaded()[0]


def kernel_trouble() -> KernelTrouble | None:
    """Return why the kernels in C cannot be used; None if they can, also where they are switched off."""
    return _loaded()[1]


@cache
def _loaded() -> tuple[KernelCalls, None] | tuple[None, KernelTrouble]:
    try:
        extension = _whole_extension()
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == _EXTENSION:
            text = f"the kernels in C were not compiled when this version was installed, {_CONSEQUENCE}"
            return None, KernelTrouble(text, "Install a C compiler (gcc) and install cryoferry again.")
        return None, KernelTrouble(f"the kernels in C cannot be loaded ({error}), {_CONSEQUENCE}", _COMPILE_AGAIN)
    found = getattr(extension.lib, "DECLARATIONS_CRC32", None)
    header = Path(__file__).with_name("kernels.h")
    if found != zlib.crc32(header.read_bytes()):
        text = f"the kernels in C are outdated ({header.name} has changed since they were compiled), {_CONSEQUENCE}"
        return None, KernelTrouble(text, _COMPILE_AGAIN)
    return KernelCalls(extension.ffi, extension.lib), None


def _whole_extension() -> ModuleType:
    """Load the extension; a file that is not whole would end the process."""
    found = importlib.util.find_spec(_EXTENSION)
    try:
        damage = why_not_whole(Path(found.origin)) if found is not None and found.origin is not None else ""
    except OSError as error:
        damage = str(error)
    if damage:
        raise ImportError(damage)
    return importlib.import_module(_EXTENSION)
