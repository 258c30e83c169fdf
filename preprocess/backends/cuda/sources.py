"""Finds the kernels' sources, puts each together with the portable dialect, and compiles it once for each use."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from preprocess.backends.cuda.device import CUDA_FAILURES, cupy
from preprocess.errors import DeviceLacksFeature, KernelNotCompiled

FRAME_TYPES = {
    "uint8": "u8",
    "int8": "i8",
    "uint16": "u16",
    "int16": "i16",
    "uint32": "u32",
    "int32": "i32",
    "float32": "float",
}
"""The dialect's name for each number type of frames."""
THREADS_A_BLOCK = 256
INCLUDE = re.compile(r'#include "(\w+\.h)"\n')


@dataclass(frozen=True, slots=True)
class Kernel:
    """A compiled kernel and how many threads its blocks have."""

    function: Any
    threads: int

    def __call__(self, blocks: tuple[int, ...], *arguments: Any) -> None:
        """Start it on blocks in x, y and z; Python's int and float go in as C's int and float."""
        given = tuple(_as_c(argument) for argument in arguments)
        self.function((*blocks, 1, 1)[:3], (self.threads, 1, 1), given)


@functools.cache
def kernel(file: str, name: str, threads: int = THREADS_A_BLOCK, **defines: str | int) -> Kernel:
    """Return a kernel of `kernels/FILE.cu`, compiled with these definitions when it is first used.

    Raises
    ------
    KernelNotCompiled
        The compiler's library or its headers are missing. What the compiler itself refuses is an error of CuPy.
    """
    try:
        return _compiled(file, name, threads, **defines)
    except CUDA_FAILURES:
        raise
    except (ImportError, OSError, RuntimeError) as error:
        raise KernelNotCompiled(f"the GPU code cannot be compiled: {error}") from error


def _compiled(file: str, name: str, threads: int, **defines: str | int) -> Kernel:
    module = cupy.RawModule(code=source(file, THREADS=threads, **defines), options=("--std=c++14",))
    return Kernel(module.get_function(name), threads)


def source(file: str, **defines: str | int) -> str:
    """Return the whole source of `kernels/FILE.cu`: definitions, our headers in their places, the kernels."""
    folder = resources.files("preprocess.backends.cuda") / "kernels"
    lines = [f"#define {name} {value}\n" for name, value in sorted(defines.items())]
    kernels = (folder / f"{file}.cu").read_text("utf-8")
    return "".join([*lines, INCLUDE.sub(lambda found: (folder / found[1]).read_text("utf-8"), kernels)])


def frame_type(dtype: np.dtype[Any]) -> str:
    """Return the dialect's name for a number type of frames.

    Raises
    ------
    DeviceLacksFeature
        Frames of that type are not for a GPU.
    """
    try:
        return FRAME_TYPES[dtype.name]
    except KeyError:
        raise DeviceLacksFeature(f"frames of {dtype.name} are not summed on a GPU") from None


def blocks_over(count: int, threads: int = THREADS_A_BLOCK) -> int:
    """Return how many blocks give each of `count` things a thread."""
    return -(-count // threads)


def _as_c(argument: Any) -> Any:
    if isinstance(argument, bool | int):
        return np.int32(argument)
    return np.float32(argument) if isinstance(argument, float) else argument
