"""Calls nvCOMP, NVIDIA's library that decompresses deflate on a device. Users install it; it is loaded if it is wanted.

Its interface is that of version 6 (`nvcomp/deflate.h`). It was never called on a device. It checks little of what it
is given: what a damaged stream does to it is undefined, so that every strip's checksum is compared afterwards.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path

LIBRARY = Path("lib64", "libnvcomp.so.6")
"""In the folder `nvidia/libnvcomp` of the packages nvidia-libnvcomp-cu12 and -cu13."""
VERSION = 6
ALIGNMENT = 16
"""Of each stream in memory; nvCOMP 6 needs 4 and says that 16 may be faster."""
_CUDA_CODE = 2  # not the decompression engine of some devices, whose limits are other ones


class NvcompUnusable(Exception):
    """It is not installed, or is not as expected; the text says why."""


class _NvcompProperties(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("cuda_version", ctypes.c_uint32))


class _NvcompAlignments(ctypes.Structure):
    _fields_ = (("input", ctypes.c_size_t), ("output", ctypes.c_size_t), ("temporary", ctypes.c_size_t))


class _DeflateOptions(ctypes.Structure):
    _fields_ = (("backend", ctypes.c_int), ("sorts", ctypes.c_int), ("reserved", ctypes.c_char * 56))


_SIZE, _ADDRESS, _OPTIONS = ctypes.c_size_t, ctypes.c_void_p, _DeflateOptions(_CUDA_CODE)
_ARGUMENTS = {
    "nvcompGetProperties": (ctypes.POINTER(_NvcompProperties),),
    "nvcompBatchedDeflateDecompressGetRequiredAlignments": (_DeflateOptions, ctypes.POINTER(_NvcompAlignments)),
    "nvcompBatchedDeflateDecompressGetTempSize": (
        *(_SIZE, _SIZE, _DeflateOptions, ctypes.POINTER(ctypes.c_size_t), _SIZE, _ADDRESS),
    ),
    "nvcompBatchedDeflateDecompressAsync": (
        *(
            _ADDRESS,
            _ADDRESS,
            _ADDRESS,
            _ADDRESS,
            _SIZE,
            _ADDRESS,
            _SIZE,
            _ADDRESS,
            _DeflateOptions,
            _ADDRESS,
            _ADDRESS,
        ),
    ),
}


class Nvcomp:
    """The loaded library.

    Raises
    ------
    NvcompUnusable
        It is another version, or wants another alignment.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(path))
            for name, arguments in _ARGUMENTS.items():
                getattr(self._library, name).argtypes = arguments
        except (OSError, AttributeError) as error:
            raise NvcompUnusable(f"nvCOMP cannot be loaded: {error}") from error
        properties, needs = _NvcompProperties(), _NvcompAlignments()
        self._library.nvcompGetProperties(ctypes.byref(properties))
        self.version = properties.version
        if self.version // 1000 != VERSION:
            raise NvcompUnusable(f"nvCOMP {self.version // 1000} is installed, and cryoferry knows version {VERSION}")
        self._library.nvcompBatchedDeflateDecompressGetRequiredAlignments(_OPTIONS, ctypes.byref(needs))
        if ALIGNMENT % max(needs.input, 1) or needs.output > 1 or needs.temporary > ALIGNMENT:
            raise NvcompUnusable("this nvCOMP wants its buffers aligned otherwise than version 6.0")

    def temporary_bytes(self, count: int, most_bytes: int, total_bytes: int, stream: int) -> int | None:
        """Return the memory of the device that `count` streams need beside their own; None: it does not say.

        Parameters
        ----------
        most_bytes, total_bytes
            What the longest stream becomes, and all of them together.
        stream
            The CUDA stream's address.
        """
        found = ctypes.c_size_t()
        size_of = self._library.nvcompBatchedDeflateDecompressGetTempSize
        status = size_of(count, most_bytes, _OPTIONS, ctypes.byref(found), total_bytes, stream)
        return None if status else found.value

    def start_decompression(
        self,
        count: int,
        columns: tuple[int, int, int, int, int],
        temporary: tuple[int, int],
        statuses: int,
        stream: int,
    ) -> bool:
        """Ask for the decompression of `count` raw deflate streams; return whether it was begun.

        Parameters
        ----------
        columns
            Addresses, on the device, of arrays of 64-bit numbers: where each stream is, its bytes, the bytes that there
            is room for, the bytes that it became (written), where they go.
        temporary
            Address and bytes of the memory for its own use.
        statuses
            Address of an array of 32-bit numbers: 0 for each stream that was decompressed (written).
        stream
            The CUDA stream's address.
        """
        given, sizes, room, written, wanted = columns
        begin = self._library.nvcompBatchedDeflateDecompressAsync
        return not begin(given, sizes, room, written, count, *temporary, wanted, _OPTIONS, statuses, stream)


@functools.cache
def load_nvcomp() -> Nvcomp | str:
    """Return the library; why it cannot be used, if it cannot."""
    try:
        found = importlib.util.find_spec("nvidia.libnvcomp")
    except ModuleNotFoundError:
        found = None
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        if (path := Path(folder) / LIBRARY).is_file():
            try:
                return Nvcomp(path)
            except NvcompUnusable as error:
                return str(error)
    return "nvCOMP is not installed (nvidia-libnvcomp-cu12 or -cu13, version 6)"
