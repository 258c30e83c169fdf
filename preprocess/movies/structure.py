"""Is a movie's file whole, judged by its headers? Cheap enough for every scan."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from preprocess.movies.mrc_header import HEADER_BYTES, is_mrc, read_mrc_header
from preprocess.movies.tiff_layout import LayoutIncompleteError, is_tiff, tiff_pages


def missing_structure(path: Path) -> str | None:
    """Return what a movie's headers promise and its file does not hold yet, or None when the file is whole.

    Reads headers only, and never raises for a half-written, vanished or unreadable file. A TIFF or EER that is written
    page by page is whole in structure after each page: only a settle time shows that no more pages come.
    """
    try:
        size = path.stat().st_size
        with path.open("rb", buffering=0) as file:
            return missing_in(file, size)
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}"


def missing_in(file: BinaryIO, size: int) -> str | None:
    """Return what an open file of `size` bytes lacks, or None when it is whole."""
    if size == 0:
        return "the file is empty"
    file.seek(0)
    start = file.read(HEADER_BYTES)
    if is_tiff(start):
        try:
            for _ in tiff_pages(file, size):
                pass
        except LayoutIncompleteError as error:
            return str(error)
        return None
    return _missing_in_mrc(start, size)


def _missing_in_mrc(start: bytes, size: int) -> str | None:
    if not is_mrc(start):
        return "the content is neither MRC, TIFF nor EER"
    if len(start) < HEADER_BYTES:
        return f"the header is cut off after {len(start)} of {HEADER_BYTES} bytes"
    header = read_mrc_header(start)
    if min(header.width, header.height, header.frame_count) < 1:
        return f"the header names {header.frame_count} frames of {header.height} x {header.width} px"
    promised = header.data_offset + header.frame_count * header.frame_bytes
    if size >= promised:
        return None
    whole = max(0, size - header.data_offset) // header.frame_bytes
    return (
        f"frame {whole + 1} of {header.frame_count} is cut off"
        f" (the header promises {promised} bytes, the file has {size})"
    )
