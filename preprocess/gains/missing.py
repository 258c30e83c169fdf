"""Warns of a movie that is aligned without the gain reference that it needs, or refuses it on the user's wish."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from preprocess.errors import GainMissing
from preprocess.gains.need import GainNeed, judge_counts
from preprocess.movie_warning import MovieWarning
from preprocess.movies.movie import Movie
from preprocess.movies.stored_frames import StoredFrames
from preprocess.settings import GainSettings
from preprocess.sidecars import Sidecar

NO_GAIN, NOT_TAKEN = "no-gain", "gain-not-taken"
"""Codes of the warnings."""


def miss_gain(
    settings: GainSettings, movie: Movie, sidecars: Sequence[Sidecar], warn: Callable[[MovieWarning], None]
) -> None:
    """Warn if a movie has no gain reference and needs one, or some are there; not if the user says that there is none.

    Raises
    ------
    GainMissing
        It may need one, and the user requires it.
    """
    if settings.path is not None or settings.absent:
        return
    judged = judge_counts(movie.path, StoredFrames.of(movie), sidecars)
    if settings.not_found:
        warn(MovieWarning(NOT_TAKEN, f"no gain reference was taken: {settings.not_found}; name it with --gain"))
    if judged.need is GainNeed.NOT_NEEDED:
        return
    if settings.required:
        raise GainMissing(f"no gain reference is known, and --require-gain asks for one: {judged.why}")
    if judged.are_raw:
        text = (
            f"it was aligned without a gain reference, but {judged.why}: the camera's fixed pattern is in the"
            " micrograph and may hide motion; give --gain FILE, or --gain none if there is none"
        )
        warn(MovieWarning(NO_GAIN, text))
