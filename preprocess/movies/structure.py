"""Is a movie's file whole, judged by its headers and a few blocks of its frames? Cheap enough for every scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from preprocess.input_files import open_regular
from preprocess.movies.frame_bytes import Pieces
from preprocess.movies.mrc_header import HEADER_BYTES, is_mrc, read_mrc_header
from preprocess.movies.recognise import EER_COMPRESSIONS
from preprocess.movies.tiff_frames import frames_of
from preprocess.movies.tiff_layout import LayoutIncompleteError, is_tiff, tiff_pages
from preprocess.movies.unwritten import unwritten_frame

_NOT_COMPRESSED, _LZW = 1, 5


def missing_structure(path: Path) -> str | None:
    """Return what a movie's headers promise and its file does not hold yet, or None when the file is whole.

    Reads headers and a few blocks of the frames: those of a file that got its full size at once are zeros until they
    are written. A TIFF or EER that is written page by page is whole in structure after each page: only a settle time
    shows that no more pages come.

    Raises
    ------
    OSError
        The file cannot be read, which says nothing about its structure.
    """
    size = path.stat().st_size
    with open_regular(path) as file:
        return _missing_or_unwritten(file, size)


def missing_in(file: BinaryIO, size: int) -> str | None:
    """Return what an open file of `size` bytes lacks by its headers, or None when it is whole."""
    try:
        _frames_in(file, size)
    except LayoutIncompleteError as error:
        return str(error)
    return None


def _missing_or_unwritten(file: BinaryIO, size: int) -> str | None:
    try:
        frames = _frames_in(file, size)
    except LayoutIncompleteError as error:
        return str(error)
    return unwritten_frame(
        file,
        size,
        frames.count,
        frames.pieces_of,
        is_encoded=frames.is_encoded,
        has_zero_blocks=frames.has_zero_blocks,
    )


@dataclass(frozen=True, slots=True)
class _Frames:
    """Where the frames of a file lie, in their order in the file."""

    count: int
    pieces_of: Callable[[int], Pieces]
    is_encoded: bool
    has_zero_blocks: bool = True


def _frames_in(file: BinaryIO, size: int) -> _Frames:
    """Return where the frames lie.

    Raises
    ------
    LayoutIncompleteError
        The text says what is missing.
    """
    if size == 0:
        raise LayoutIncompleteError("the file is empty")
    file.seek(0)
    start = file.read(HEADER_BYTES)
    return _frames_of_tiff(file, size) if is_tiff(start) else _frames_of_mrc(start, size)


def _frames_of_tiff(file: BinaryIO, size: int) -> _Frames:
    pages = sorted(frames_of(list(tiff_pages(file, size))), key=lambda page: int(page.strip_offsets.max()))

    def pieces_of(number: int) -> Pieces:
        page = pages[number]
        return sorted(zip(page.strip_offsets.tolist(), page.strip_byte_counts.tolist(), strict=True))

    codings = {page.compression for page in pages}
    has_zero_blocks = bool(codings - {_LZW, *EER_COMPRESSIONS})
    return _Frames(len(pages), pieces_of, _NOT_COMPRESSED not in codings, has_zero_blocks)


def _frames_of_mrc(start: bytes, size: int) -> _Frames:
    if not is_mrc(start):
        raise LayoutIncompleteError("the content is neither MRC, TIFF nor EER")
    if len(start) < HEADER_BYTES:
        raise LayoutIncompleteError(f"the header is cut off after {len(start)} of {HEADER_BYTES} bytes")
    header = read_mrc_header(start)
    if min(header.width, header.height, header.frame_count) < 1:
        raise LayoutIncompleteError(
            f"the header names {header.frame_count} frames of {header.height} x {header.width} px"
        )
    promised = header.data_offset + header.frame_count * header.frame_bytes
    if size < promised:
        whole = max(0, size - header.data_offset) // header.frame_bytes
        raise LayoutIncompleteError(
            f"frame {whole + 1} of {header.frame_count} is cut off"
            f" (the header promises {promised} bytes, the file has {size})"
        )
    return _Frames(
        header.frame_count,
        lambda number: [(header.data_offset + number * header.frame_bytes, header.frame_bytes)],
        is_encoded=False,
    )
