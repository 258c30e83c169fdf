"""Decides, for the movies of a run, in which orientation their gain reference is used.

A movie that shows clearly which one fits decides at once, for all movies after it. One that does not is asked together
with others of the run, up to five in all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.gain import Gain, divides, file_state, load_checked_gain, load_gain_of_shape
from preprocess.correction.gain_fit import LARGEST_SIDE_PX, GainDecision, in_other_way
from preprocess.correction.gain_turns import ORIENTATIONS, options_of
from preprocess.correction.orientation_evidence import Fit, Judgement, OrientationEvidence, evidence_of, judged
from preprocess.errors import PreprocessError
from preprocess.geometry.image_centre import centre_of
from preprocess.movies import Movie, open_movie
from preprocess.movies.raw_sum import raw_sum
from preprocess.settings import AlignmentSettings, GainSettings

MOST_MOVIES = 5
"""So many movies are asked at most."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenOrientation:
    """How a movie's gain reference is used, why, and what the movie says for itself of the gain as it was loaded."""

    settings: GainSettings
    decision: GainDecision
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class _Question:
    """For which movies one decision holds."""

    gain: GainSettings
    file_state: tuple[int, int, int] | None
    movie_format: str
    shape: tuple[int, int]


class GainOrientations:
    """What was decided in one run.

    One thread uses it at a time.

    Parameters
    ----------
    movies
        All movies of the run: they are asked where one alone is too faint.
    """

    def __init__(self, movies: Sequence[Path] = ()) -> None:
        self._movies = movies
        self._decided: dict[_Question, tuple[GainSettings, GainDecision]] = {}

    def load(self, settings: GainSettings, movie: Movie) -> Gain:
        """Return a movie's gain reference, in the orientation that was decided, if one was.

        Raises
        ------
        PreprocessError
            It cannot be read, or does not fit the movie in any orientation.
        """
        decided = self._decided.get(_question(settings, movie))
        return load_gain_of_shape(settings if decided is None else decided[0], movie)

    def choose(
        self, settings: AlignmentSettings, loaded: Gain, movie: Movie, raw_centre: NDArray[np.float32]
    ) -> ChosenOrientation:
        """Decide how a movie's gain reference is used.

        Parameters
        ----------
        loaded
            What `load` returned for it.
        raw_centre
            The middle of the movie's raw sum.

        Raises
        ------
        GainMismatch
            The gain reference has the movie's shape only if it is rotated, and the movies do not show in which way.
        """
        asked, evidence = settings.gain, _evidence(raw_centre, loaded)
        alone = judged(evidence)
        if asked.orientation == "given":
            return ChosenOrientation(settings=loaded.settings, decision=GainDecision.GIVEN, judgement=alone)
        question = _question(asked, movie)
        if question not in self._decided:
            together = self._with_others(settings, loaded, movie, evidence) if alone.fit is Fit.FAINT else alone
            decided = self._decide(asked, loaded, movie, together)
            if together.fit is Fit.NONE:
                return ChosenOrientation(settings=decided[0], decision=decided[1], judgement=alone)
            self._decided[question] = decided
        used, decision = self._decided[question]
        return ChosenOrientation(settings=used, decision=decision, judgement=alone)

    def judge(self, loaded: Gain, raw_centre: NDArray[np.float32]) -> Judgement:
        """Return what a movie says of a gain as it was loaded."""
        return judged(_evidence(raw_centre, loaded))

    def _decide(
        self, asked: GainSettings, loaded: Gain, movie: Movie, judgement: Judgement
    ) -> tuple[GainSettings, GainDecision]:
        if judgement.is_inverted and judgement.fit is Fit.CLEAR and asked.operation != "auto":
            return loaded.settings, GainDecision.GIVEN  # with a warning
        if judgement.changes_something:
            return self._turned(loaded.settings, judgement, movie), GainDecision.TURNED
        if judgement.fit in (Fit.CLEAR, Fit.FLAT):
            return loaded.settings, GainDecision.KEPT
        load_checked_gain(asked, movie)  # refuses it if only a rotation gives it the movie's shape
        return loaded.settings, GainDecision.UNSURE

    def _turned(self, settings: GainSettings, judgement: Judgement, movie: Movie) -> GainSettings:
        turn = ORIENTATIONS[judgement.best]
        used = in_other_way(settings, turn, is_inverted=judgement.is_inverted, divided=divides(settings, movie))
        _log.warning(
            "%s: it does not fit as it lies; it is used as with %s (better than any other by %.0f standard errors, %s)",
            settings.path, options_of(used), judgement.standard_errors,
            "1 movie" if judgement.movies == 1 else f"{judgement.movies} movies",
        )  # fmt: skip
        return used

    def _with_others(
        self, settings: AlignmentSettings, loaded: Gain, movie: Movie, evidence: OrientationEvidence
    ) -> Judgement:
        """Return what movies of the run say together, as soon as it is clear."""
        for path in self._movies:
            if evidence.movies == MOST_MOVIES:
                break
            if path == movie.path:
                continue
            try:
                other = open_movie(path, settings.eer, threads=settings.threads)
                if _question(settings.gain, other) == _question(settings.gain, movie):
                    evidence += _evidence(centre_of(raw_sum(other), LARGEST_SIDE_PX), loaded)
            except PreprocessError:
                continue  # its own alignment says what is wrong with it
            together = judged(evidence)
            if together.fit is Fit.CLEAR:
                return together
        return judged(evidence)


def _evidence(raw_centre: NDArray[np.float32], loaded: Gain) -> OrientationEvidence:
    assert loaded.image is not None
    return evidence_of(raw_centre, centre_of(loaded.image, LARGEST_SIDE_PX))


def _question(settings: GainSettings, movie: Movie) -> _Question:
    state = None if settings.path is None else file_state(settings.path)
    return _Question(settings, state, movie.format, (movie.height, movie.width))
