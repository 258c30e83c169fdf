"""Images that belong to a camera, such as gain references and defect maps: the first image of their file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.dm4_image import DM4_EXTENSIONS, dm4_image, dm4_image_count
from preprocess.errors import UnreadableMovie
from preprocess.input_files import open_regular
from preprocess.movies.mrc import MrcMovie
from preprocess.movies.mrc_header import HEADER_BYTES, is_mrc, read_mrc_header
from preprocess.movies.structure import missing_in
from preprocess.movies.tiff_layout import LayoutIncompleteError, is_tiff, tiff_pages
from preprocess.movies.tiff_pixels import read_page

MRC_EXTENSIONS, TIFF_EXTENSIONS = frozenset({".mrc", ".mrcs"}), frozenset({".tif", ".tiff"})


def first_image(path: Path) -> NDArray[Any]:
    """Return the first image of a file as it is stored, shape (height, width).

    The extension decides: all but MRC and DM4 is TIFF.

    Raises
    ------
    OSError
        The file cannot be read.
    UnreadableMovie
        It is cut off, corrupt or of another format.
    """
    if path.suffix.lower() in DM4_EXTENSIONS:
        return dm4_image(path)
    try:
        return _first_mrc_section(path) if path.suffix.lower() in MRC_EXTENSIONS else _first_tiff_page(path)
    except LayoutIncompleteError as error:
        raise UnreadableMovie(str(error)) from error


def image_count(path: Path) -> int:
    """Return how many images of the first one's size a file holds (a smaller one behind it is a preview).

    Raises
    ------
    OSError
        The file cannot be read.
    UnreadableMovie
        It is cut off, corrupt or of another format.
    """
    if path.suffix.lower() in MRC_EXTENSIONS:
        return _mrc_section_count(path)
    if path.suffix.lower() in DM4_EXTENSIONS:
        return dm4_image_count(path)
    with open_regular(path) as file:
        try:
            sizes = [(page.height, page.width) for page in tiff_pages(file, path.stat().st_size)]
        except LayoutIncompleteError as error:
            raise UnreadableMovie(str(error)) from error
    return sizes.count(sizes[0])


def enlarged(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return an image with each pixel repeated `factor` times along both axes."""
    return image if factor == 1 else np.repeat(np.repeat(image, factor, 0), factor, 1)


def _mrc_section_count(path: Path) -> int:
    """Return the number of sections; a copy that has only begun has no header yet, or zeros in its place."""
    with open_regular(path) as file:
        start = file.read(HEADER_BYTES)
    if len(start) == HEADER_BYTES and is_mrc(start):
        header = read_mrc_header(start)
        if header.width > 0 and header.height > 0:
            return MrcMovie(path, threads=1).frame_count
    raise UnreadableMovie("the MRC header is cut off, damaged or not written yet")


def _first_tiff_page(path: Path) -> NDArray[Any]:
    size = path.stat().st_size
    with open_regular(path) as file:
        if not is_tiff(file.read(8)):
            raise LayoutIncompleteError("the file is not a TIFF file")
        return read_page(path, file, next(tiff_pages(file, size)))


def _first_mrc_section(path: Path) -> NDArray[Any]:
    with open_regular(path) as file:
        missing = missing_in(file, path.stat().st_size)  # an image of zeros is whole
    if missing is not None:
        raise UnreadableMovie(missing)
    return np.asarray(MrcMovie(path, threads=1).stored_frame(0))
