"""Tells SerialEM's maps, sums and previews from movies by what stands in them and in their mdoc, where no name does.

The mdoc of a movie has a section `[FrameSet = 0]`. That of a file of images, which people look at while they search or
record a tilt series, has `[ZValue = 0]` and so on: one section for each image, which may name the movie of its frames.
SerialEM's title in the header says who wrote a file: `SerialEM:` the program, for images; `SerialEMCCD:` its plugin,
for frames.
"""

from __future__ import annotations

import errno
from io import BufferedReader
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from preprocess.input_files import open_regular, read_small_text
from preprocess.layouts.layout import Doubt
from preprocess.movies.mrc_header import HEADER_BYTES, first_label, is_mrc, read_mrc_header
from preprocess.movies.tiff_layout import LayoutIncompleteError, is_tiff, tiff_pages
from preprocess.sidecars.mdoc_sections import Mdoc, Section, parse_mdoc

MONTAGE = "a montage of SerialEM, by its mdoc"
SUMS = "sums of SerialEM, whose mdoc names their movies"
IMAGES = "images of SerialEM, by their mdoc"
IMAGES_BY_TITLE = "images of SerialEM, by the title in their header"
SINGLE_IMAGE = "a single image whose name is that of a map or preview"
_TITLE = "SerialEM:"
_TITLES_OF_FRAMES = ("SerialEM: Frame images", "SerialEM: Falcon intermediate images")


def why_no_movie(path: Path, doubt: Doubt) -> str:
    """Return why a file is no movie, by its content; empty if nothing says that it is none.

    Parameters
    ----------
    doubt
        What the layout says about the file's name.

    Raises
    ------
    OSError
        The file or its mdoc cannot be read now.
    """
    kind = _by_mdoc(path, path.with_name(doubt.mdoc)) if doubt.mdoc else None
    return _by_header(path, doubt) if kind is None else kind


def _by_mdoc(path: Path, mdoc: Path) -> str | None:
    """Return why a file is no movie, by its mdoc; None if the mdoc does not tell, such as one that is just begun."""
    parsed = _parsed(mdoc)
    head, sections = parsed.head, parsed.sections
    if not sections:
        return None
    name, kind = path.name.lower(), sections[0].kind
    if kind == "FrameSet" or any(_frames_of(section).lower() == name for section in sections):
        return ""
    about = PureWindowsPath(head.get("ImageFile", "")).name.lower()
    if kind not in ("ZValue", "MontSection") or about not in ("", name):
        return None
    if head.get("Montage") == "1" or any(_is_of_montage(section) for section in sections):
        return MONTAGE
    return SUMS if any(_frames_of(section) for section in sections) else IMAGES


def _parsed(mdoc: Path) -> Mdoc:
    try:
        return parse_mdoc(read_small_text(mdoc))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EFBIG, errno.EINVAL):  # it is gone, or no mdoc
            return Mdoc({}, [], [])
        raise


def _frames_of(section: Section) -> str:
    return PureWindowsPath(section.values.get("SubFramePath", "")).name


def _is_of_montage(section: Section) -> bool:
    return section.kind == "MontSection" or "PieceCoordinates" in section.values


def _by_header(path: Path, doubt: Doubt) -> str:
    with BufferedReader(open_regular(path)) as file:
        start = file.read(HEADER_BYTES)
        if is_tiff(start):
            return SINGLE_IMAGE if doubt.is_named_as_image and _has_one_page(file, path) else ""
    if len(start) < HEADER_BYTES or not is_mrc(start):
        return ""
    title = first_label(start)
    if title.startswith(_TITLE) and not title.startswith(_TITLES_OF_FRAMES):
        return IMAGES_BY_TITLE
    return SINGLE_IMAGE if doubt.is_named_as_image and read_mrc_header(start).frame_count == 1 else ""


def _has_one_page(file: BinaryIO, path: Path) -> bool:
    """Return whether a TIFF has a single page; ImageJ may keep a whole stack behind one, which is larger."""
    size = path.stat().st_size
    try:
        pages = tiff_pages(file, size)
        first = next(pages)
        if next(pages, None) is not None:
            return False
    except LayoutIncompleteError:
        return False
    return size < 2 * int(first.strip_byte_counts.sum()) + HEADER_BYTES
