"""Writes files that are whole or not there, and MRC micrographs that are the same bytes when made again."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import mode_from_dtype
from numpy.typing import NDArray

from preprocess.errors import NotFiniteOutput
from preprocess.images import ArrivingImage, PixelStatistics
from preprocess.platform import is_running, process_space, sync

PARTIAL = ".partial"


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a file under a temporary name beside `path`; make it durable; give it its name.

    A reader of the folder sees the file whole or not at all, after a power cut too. What a killed process left under a
    temporary name for the same file is removed.

    Raises
    ------
    OSError
        The disk refuses; it names `path`.
    """
    temporary = path.with_name(f".{path.name}.{process_space()}-{os.getpid()}{PARTIAL}")
    _remove_left(path.parent, f"{glob.escape(path.name)}.")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_whole(path, write)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def remove_partial_files(folder: Path, stem: str = "") -> None:
    """Remove what killed processes left in a folder of files whose names begin with `stem`.

    Those of a process that runs are left alone, and those of another machine's processes, of which nothing is known.
    """
    _remove_left(folder, glob.escape(stem))


def _remove_left(folder: Path, pattern: str) -> None:
    for path in folder.glob(f".{pattern}*{PARTIAL}"):
        space, _, process = path.name.removesuffix(PARTIAL).rpartition(".")[2].partition("-")
        if space == process_space() and process.isdecimal() and not is_running(int(process)):
            with suppress(OSError):  # in some folders another user's file cannot be removed
                path.unlink()


def write_micrograph(path: Path, image: ArrivingImage, pixel_size_angstrom: float | None, label: str) -> None:
    """Write an image as MRC when it has arrived: float16 is mode 12, float32 mode 2.

    Raises
    ------
    NotFiniteOutput
        The image holds NaN or infinity.
    """
    write_whole(path, lambda temporary: _write_mrc(temporary, image, pixel_size_angstrom, label))


def _write_mrc(path: Path, image: ArrivingImage, pixel: float | None, label: str) -> None:
    """Write header and data; mrcfile's own writer would put the time into the header."""
    data, statistics = image.pixels(), image.statistics
    if not (np.isfinite(statistics.mean) and np.isfinite(statistics.deviation)):
        raise NotFiniteOutput("the micrograph would have values that are not finite numbers, so it was not written")
    with path.open("wb") as file:
        file.write(_mrc_header(data.shape, data.dtype, statistics, pixel, label))
        # Not tofile(), which hides why a disk refuses.
        file.write(np.ascontiguousarray(data, data.dtype.newbyteorder("<")).data)


def mrc_bytes(image: NDArray[np.float32], pixel_size_angstrom: float | None, label: str) -> bytes:
    """Return a small image as an MRC file."""
    values = image.astype(np.float64)
    statistics = PixelStatistics(
        values.size, float(values.mean()), float(values.std()), float(values.min()), float(values.max())
    )
    pixels: NDArray[np.float32] = np.ascontiguousarray(image, "<f4")
    return _mrc_header(image.shape, pixels.dtype, statistics, pixel_size_angstrom, label) + pixels.tobytes()


def _mrc_header(
    shape: tuple[int, ...], dtype: np.dtype[Any], statistics: PixelStatistics, pixel: float | None, label: str
) -> bytes:
    height, width = shape
    values: dict[str, Any] = {
        "nx": width,
        "ny": height,
        "nz": 1,
        "mx": width,
        "my": height,
        "mz": 1,
        "mode": mode_from_dtype(dtype),
        "cella": tuple((pixel or 0.0) * size for size in (width, height, 1)),
        "cellb": (90.0, 90.0, 90.0),
        "mapc": 1,
        "mapr": 2,
        "maps": 3,
        "dmin": statistics.lowest,
        "dmax": statistics.highest,
        "dmean": statistics.mean,
        "rms": statistics.deviation,
        "nversion": 20141,
        "map": b"MAP ",
        "machst": (0x44, 0x44, 0, 0),
        "nlabl": 1,
    }
    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    for name, value in values.items():
        header[name] = value
    header["label"][0] = label.encode("ascii")
    return header.tobytes()
