"""Recognises a file's format by its content."""

from __future__ import annotations

from typing import BinaryIO, Literal

from preprocess.movies import mrc_header, tiff_layout

MovieFormat = Literal["mrc", "tiff", "eer"]

EXTENSIONS = frozenset({".mrc", ".mrcs", ".tif", ".tiff", ".eer"})
"""The extensions of movies, in lower case; microscopes write them in either case."""

EER_COMPRESSIONS = frozenset({65000, 65001, 65002})
"""Electron events of Falcon cameras: 8 bit, 7 bit, and widths named by fields of their own."""


def recognise(file: BinaryIO, size: int) -> MovieFormat | None:
    """Return the format of an open file of `size` bytes, or None when it begins like none of them.

    Raises
    ------
    LayoutIncompleteError
        The file begins as a TIFF, and its first page's header is not there.
    """
    file.seek(0)
    start = file.read(mrc_header.HEADER_BYTES)
    if tiff_layout.is_tiff(start):
        page = next(tiff_layout.tiff_pages(file, size))
        return "eer" if page.compression in EER_COMPRESSIONS else "tiff"
    return "mrc" if mrc_header.is_mrc(start) else None
