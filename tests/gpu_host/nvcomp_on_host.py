"""A stand-in for nvCOMP on the host: a library with its functions, which inflates by Python's zlib."""

from __future__ import annotations

import ctypes
import subprocess
import zlib
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
_INFLATE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)


class NvcompOnHost:
    """A folder with the stand-in where packages of NVIDIA have the library.

    Parameters
    ----------
    folder : Path
        Empty, or not there; to be put on Python's path.
    compiler : str
        A C compiler.

    Attributes
    ----------
    spoils : int | None
        A byte of each strip that comes out wrong though its status is that of success.
    """

    def __init__(self, folder: Path, compiler: str) -> None:
        self.folder = folder
        self.path = folder / "nvidia/libnvcomp/lib64/libnvcomp.so.6"
        self.path.parent.mkdir(parents=True)
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(self.path),
            str(SOURCE),
        ]
        subprocess.run(command, check=True)
        self.spoils: int | None = None
        self._library = ctypes.CDLL(str(self.path))
        self._library.stand_in_calls.restype = ctypes.c_size_t
        self._inflate = _INFLATE(self._inflated)  # kept: the library calls it
        self._library.stand_in_inflates_by(self._inflate)

    @property
    def calls(self) -> int:
        """Return how often a batch was to be decompressed."""
        return int(self._library.stand_in_calls())

    def be_version(self, number: int) -> None:
        """Say that it is another version, 6000 being 6.0."""
        self._library.stand_in_is_version(number)

    def _inflated(self, given: int, size: int, there: int, room: int) -> int:
        """Inflate a raw deflate stream; -1 if it is none, is not whole, or has more bytes than there is room for."""
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            made = stream.decompress(ctypes.string_at(given, size), room + 1)
        except zlib.error:
            return -1
        if len(made) > room or not stream.eof:
            return -1
        if self.spoils is not None and made:
            made = made[: self.spoils] + bytes([made[self.spoils] ^ 1]) + made[self.spoils + 1 :]
        ctypes.memmove(there, made, len(made))
        return len(made)
