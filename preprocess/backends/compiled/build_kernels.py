"""Describes the extension with the kernels to cffi; setup.py builds it.

The module needs no particular version of Python (abi3). Where no compiler is found, or it fails, the installation
goes on without it, and numba's kernels are used.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from cffi import FFI

FOLDER = Path("preprocess/backends/compiled")
"""Seen from the top folder, where setup.py runs."""

FLAGS = [
    "-O3",
    "-std=gnu11",
    "-fwrapv",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-g0",
]
"""No -ffast-math: it would let the order of a sum depend on the processor. -fwrapv: without it, gcc 12 moves the taps
of a warp out of registers (1.7 times the time). -Wno-psabi: functions that take vectors are all inlined."""

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def declarations(top: Path = Path()) -> str:
    """Return what cffi must know of the kernels; `top`: the top folder."""
    return _COMMENT.sub("", (top / FOLDER / "kernels.h").read_text("utf-8"))


def builder() -> FFI:
    """Return the description of the extension, for the build of setuptools."""
    ffi = FFI()
    header = (FOLDER / "kernels.h").read_bytes()
    ffi.cdef(declarations())
    ffi.cdef("#define DECLARATIONS_CRC32 ...")
    ffi.set_source(
        "preprocess.backends.compiled._kernels",
        f'#include <stdint.h>\n#include "kernels.h"\n#define DECLARATIONS_CRC32 {zlib.crc32(header)}u',
        sources=sorted(path.as_posix() for path in FOLDER.glob("*.c")),
        depends=sorted(path.as_posix() for path in FOLDER.glob("*.h")),
        include_dirs=[FOLDER.as_posix()],
        extra_compile_args=FLAGS,
        libraries=["m"],
        optional=True,
        py_limited_api=True,
    )
    return ffi
