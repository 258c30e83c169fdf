"""Which pages of a TIFF file are frames of the movie: all but previews, which have another size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preprocess.errors import UnreadableMovie
from preprocess.movie_warning import MovieWarning
from preprocess.movies.tiff_layout import TiffPage

_MOST_PREVIEWS, _LARGEST_PREVIEW = 3, 0.5
"""How many there are behind the last frame, and how much of a frame's pixels one has, unless it says that it is one."""
_HEADER_BYTES, _PART_HEADER_BYTES = 4096, 16


def frames_of(pages: Sequence[TiffPage]) -> list[TiffPage]:
    """Return the pages without previews: those that say so, and up to three much smaller ones behind the last frame.

    Pages of another size that are no previews stay.
    """
    first = _first_frame(pages)
    frames = [page for page in pages if not (page.is_reduced and _is_smaller(page, first))]
    behind = len(frames)
    while _is_smaller(frames[behind - 1], first, _LARGEST_PREVIEW):
        behind -= 1
    return frames[:behind] if len(frames) - behind <= _MOST_PREVIEWS else frames


def checked_frames(path: Path, pages: Sequence[TiffPage]) -> list[TiffPage]:
    """Return the frames among a movie's pages.

    Raises
    ------
    UnreadableMovie
        One has another size and is no preview; the text names it.
    """
    frames = frames_of(pages)
    first = frames[0]
    for page in frames:
        if (page.height, page.width) != (first.height, first.width):
            text = (
                f"{path}: frame {page.number} is {page.height} x {page.width} px,"
                f" frame {first.number} is {first.height} x {first.width} px (height x width)"
            )
            hint = "Copy the movie again. If the file is so, save its frames alone, without previews among them."
            raise UnreadableMovie(text, hint=hint)
    return frames


def page_warnings(pages: Sequence[TiffPage], frames: Sequence[TiffPage], file_bytes: int) -> tuple[MovieWarning, ...]:
    """Return what is to be said about pages that are no frames, and bytes of the file that belong to none."""
    left_out = sorted({page.number for page in pages} - {page.number for page in frames})
    found = []
    if left_out:
        previews = [page for page in pages if page.number in left_out]
        sizes = ", ".join(sorted({f"{page.height} x {page.width}" for page in previews}))
        which = f"{', '.join(map(str, left_out))} of {len(pages)} ({sizes} px)"
        subject = f"pages {which} are" if len(left_out) > 1 else f"page {which} is"
        text = (
            f"{subject} smaller than the frames ({frames[0].height} x {frames[0].width} px, height x width) and"
            " left out as a preview"
        )
        found.append(MovieWarning("pages-left-out", text))
    parts = sum(page.strip_offsets.size for page in pages)
    known = sum(int(page.strip_byte_counts.sum()) for page in pages)
    unknown = file_bytes - known - _HEADER_BYTES * len(pages) - _PART_HEADER_BYTES * parts
    if unknown > max(int(page.strip_byte_counts.sum()) for page in frames):
        text = (
            f"{unknown} bytes of the file, more than a frame has, belong to none of its {len(pages)} pages: if frames"
            " are missing, convert the movie to MRC or to one page a frame"
        )
        found.append(MovieWarning("surplus-bytes", text))
    return tuple(found)


def _first_frame(pages: Sequence[TiffPage]) -> TiffPage:
    return next((page for page in pages if not page.is_reduced), pages[0])


def _is_smaller(page: TiffPage, first: TiffPage, share: float = 1.0) -> bool:
    return page.height * page.width < share * first.height * first.width
