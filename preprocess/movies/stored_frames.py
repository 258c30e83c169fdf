"""How a movie's file holds its frames, by its first header alone: enough to tell which camera's they can be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from preprocess.input_files import open_regular
from preprocess.movies.movie import Movie
from preprocess.movies.mrc_header import HEADER_BYTES, is_mrc, read_mrc_header
from preprocess.movies.recognise import EER_COMPRESSIONS, MovieFormat
from preprocess.movies.tiff_layout import LayoutIncompleteError, is_tiff, tiff_pages

_FLOAT_MODES = frozenset({2, 4, 12})
_TIFF_FLOAT = 3


@dataclass(frozen=True, slots=True)
class StoredFrames:
    """Format, size in px and number type of a movie's frames. `bits` are those of one value in memory."""

    format: MovieFormat
    height: int
    width: int
    bits: int
    is_float: bool

    @classmethod
    def of(cls, movie: Movie) -> StoredFrames:
        """Return how an open movie holds its frames."""
        dtype = movie.dtype
        return cls(movie.format, movie.height, movie.width, dtype.itemsize * 8, dtype.kind == "f")  # type: ignore[arg-type]


def stored_frames(path: Path) -> StoredFrames | None:
    """Return how a file holds its frames; None where its first header does not say that.

    Raises
    ------
    OSError
        The file cannot be read now.
    """
    with BufferedReader(open_regular(path)) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(HEADER_BYTES)
        if is_tiff(start):
            try:
                page = next(tiff_pages(file, size))
            except LayoutIncompleteError:
                return None
            kind: MovieFormat = "eer" if page.compression in EER_COMPRESSIONS else "tiff"
            return StoredFrames(kind, page.height, page.width, page.bits, page.sample_format == _TIFF_FLOAT)
        if not is_mrc(start) or len(start) < HEADER_BYTES:
            return None
        header = read_mrc_header(start)
        bits = 8 * header.stored_dtype.itemsize if header.stored_dtype else 0
        return StoredFrames("mrc", header.height, header.width, bits, header.mode in _FLOAT_MODES)
