"""Says which frames hold the very same counts."""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.movie_warning import MovieWarning
from preprocess.pipeline.left_out_warnings import listed


def identical_warnings(identical: Sequence[Sequence[int]], used: range) -> list[MovieWarning]:
    """Return a warning for each group of identical frames, with their numbers, from 1 in the whole movie."""
    return [MovieWarning("identical-frames", _text(group, used)) for group in identical]


def _text(group: Sequence[int], used: range) -> str:
    if len(group) == len(used):
        return (
            f"all {len(group)} frames are identical: the movie was made from one image. Their motion is zero by"
            " construction, and the sum holds no more signal than one frame. Copy or record the movie again"
        )
    return (
        f"frames {listed([used[place] + 1 for place in group])} are identical: one frame was written in place of"
        " others. Its noise counts several times, and it holds these frames to the same shift. Copy the movie again"
    )
