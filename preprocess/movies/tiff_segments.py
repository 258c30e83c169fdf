"""Decodes TIFF pages of less usual kinds by tifffile: tiles, Zstandard, LZMA, PackBits, floating-point predictors.

What tifffile decodes is one strip or tile; where these lie is known from our own walk, which has checked them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie
from preprocess.movies.tiff_layout import TiffPage


def read_segments(path: Path, file: BinaryIO, page: TiffPage, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return one page as stored (top row first), in a native number type.

    Raises
    ------
    UnreadableMovie
        A strip or tile cannot be decoded or holds too little; the text names frame and strip.
    """
    decode = _decoder(path, page)
    image: NDArray[Any] = np.empty((page.height, page.width), dtype)
    places = zip(page.strip_offsets.tolist(), page.strip_byte_counts.tolist(), strict=True)
    for index, (offset, count) in enumerate(places):
        file.seek(offset)
        encoded = file.read(count)
        try:
            if len(encoded) != count:  # the file was cut after it was opened
                raise ValueError("cut off")
            segment, (_, _, y, x, _), _ = decode(encoded, index)
        except (RuntimeError, ValueError) as error:  # what imagecodecs' and tifffile's errors are
            raise UnreadableMovie(f"{path}: frame {page.number}, {page.part} {index + 1} is corrupt") from error
        place = image[y : y + segment.shape[1], x : x + segment.shape[2]]  # the last tiles are larger than their part
        place[...] = segment[0, : place.shape[0], : place.shape[1], 0]
    return image


def _decoder(path: Path, page: TiffPage) -> Any:
    """Return tifffile's function for the page's strips or tiles, which needs the file no longer."""
    try:
        with tifffile.TiffFile(path) as whole:
            whole.filehandle.seek(page.header_offset)
            return tifffile.TiffPage(whole, index=page.number - 1).decode
    except (RuntimeError, ValueError) as error:
        raise UnreadableMovie(f"{path}: the header of frame {page.number} is corrupt ({error})") from error
