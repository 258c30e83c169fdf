"""Decides, for the movies of a run, in which orientation their gain reference is used.

A movie that shows clearly which one fits decides at once, for all movies after it. One that does not is asked together
with others of the run, up to five in all. In a session that runs, where the others are not there yet, it is held back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.gain import Gain, divides, file_state, load_checked_gain, load_gain_of_shape
from preprocess.correction.gain_fit import LARGEST_SIDE_PX, GainDecision, in_other_way
from preprocess.correction.gain_turns import ORIENTATIONS, options_of
from preprocess.correction.orientation_evidence import Fit, Judgement, OrientationEvidence, evidence_of, judged
from preprocess.errors import GainMismatch, PreprocessError
from preprocess.geometry.image_centre import centre_of
from preprocess.movies import Movie, open_movie
from preprocess.movies.raw_sum import raw_sum
from preprocess.results import GainUse
from preprocess.session_orientations import MOST_MOVIES, SessionOrientations, camera_key, evidence_key, gain_key
from preprocess.settings import AlignmentSettings, GainSettings

MOST_STRANGERS = 20
"""After so many movies of the run with other gain references no further one is asked."""

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


class GainOrientationUnsure(GainMismatch):
    """Nothing shows which way a gain reference lies.

    Attributes
    ----------
    camera : str
        The `camera_key` of the movie.
    key : str | None
        The `evidence_key` of its evidence; None: more of that would not help.
    """

    hint = (
        "Decide: `cryoferry retry` with --gain-rotate and --gain-flip, which then holds for the session's other movies;"
        " or with --gain none if they are gain-corrected already. A movie that shows it clearly decides too."
    )

    def __init__(self, detail: str, camera: str, key: str | None, evidence: OrientationEvidence) -> None:
        super().__init__(detail)
        self.camera, self.key, self.evidence = camera, key, evidence


class GainOrientations:
    """What was decided in one run.

    One thread uses it at a time.

    Parameters
    ----------
    movies
        All movies of the run: they are asked where one alone is too faint.
    gain_of
        Returns a movie's settings of its gain reference: only movies with the same ones are asked together. None: all
        have the same.
    session
        What is known of the session that the movie belongs to: with it, a movie that does not show how its gain
        reference lies is held back. None: there is no session.
    digest_of
        Returns the digest of a gain reference, by which the session knows it.
    """

    def __init__(
        self,
        movies: Sequence[Path] = (),
        gain_of: Callable[[Path], GainSettings] | None = None,
        *,
        session: SessionOrientations | None = None,
        digest_of: Callable[[Path], str | None] = lambda _path: None,
    ) -> None:
        self._movies, self._gain_of, self._session, self._digest_of = movies, gain_of, session, digest_of
        self._decided: dict[_Question, tuple[GainSettings, GainDecision]] = {}

    def load(self, settings: GainSettings, movie: Movie) -> Gain:
        """Return a movie's gain reference, in the orientation that was decided, if one was.

        Raises
        ------
        PreprocessError
            It cannot be read, or does not fit the movie in any orientation.
        """
        question = _question(settings, movie)
        if settings.path is not None and settings.orientation == "auto" and self._session is not None:
            key = gain_key(self._digest_of(settings.path) or "", _camera(movie))
            if (use := self._session.decided.get(key)) is not None:
                self._decided[question] = _as_used(settings, use)
        decided = self._decided.get(question)
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
        GainOrientationUnsure
            In a session, the movie does not show it, and nothing is known of others.
        """
        asked, evidence = settings.gain, _evidence(raw_centre, loaded, settings.threads)
        alone = judged(evidence)
        if asked.orientation == "given":
            return ChosenOrientation(settings=loaded.settings, decision=GainDecision.GIVEN, judgement=alone)
        question = _question(asked, movie)
        if question not in self._decided:
            together = self._with_others(settings, loaded, movie, evidence) if alone.fit is Fit.FAINT else alone
            if self._session is not None and together.fit in (Fit.FAINT, Fit.NONE):
                decided = self._of_camera(self._session, asked, loaded, movie, together, evidence)
            else:
                decided = self._decide(asked, loaded, movie, together)
            if together.fit is Fit.NONE:
                return ChosenOrientation(settings=decided[0], decision=decided[1], judgement=alone)
            self._decided[question] = decided
        used, decision = self._decided[question]
        return ChosenOrientation(settings=used, decision=decision, judgement=alone)

    def judge(self, loaded: Gain, raw_centre: NDArray[np.float32]) -> Judgement:
        """Return what a movie says of a gain as it was loaded."""
        return judged(_evidence(raw_centre, loaded))

    def _of_camera(
        self,
        session: SessionOrientations,
        asked: GainSettings,
        loaded: Gain,
        movie: Movie,
        judgement: Judgement,
        evidence: OrientationEvidence,
    ) -> tuple[GainSettings, GainDecision]:
        """Return how the camera's other gain references lie."""
        camera = _camera(movie)
        if (use := session.decided.get(camera)) is not None:
            return _as_used(asked, use)
        assert asked.path is not None
        name = asked.path.name
        if judgement.fit is Fit.NONE:
            why = (
                f"the movie shows the gain reference {name} in none of its orientations: it may be gain-corrected"
                " already, or the gain reference may belong to another camera or session"
            )
            raise GainOrientationUnsure(why, camera, None, evidence)
        why = f"the movie is too faint to tell in which orientation the gain reference {name} fits"
        raise GainOrientationUnsure(why, camera, evidence_key(camera, loaded.settings), evidence)

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
        """Return what movies of the run, or of the session, say together, as soon as it is clear."""
        if self._session is not None:
            earlier = self._session.evidence.get(evidence_key(_camera(movie), loaded.settings))
            return judged(evidence if earlier is None else earlier + evidence)
        strangers = 0
        for path in self._movies:
            if evidence.movies == MOST_MOVIES or strangers == MOST_STRANGERS:
                break
            if path == movie.path:
                continue
            if self._gain_of is not None and self._gain_of(path) != settings.gain:
                strangers += 1
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


def _evidence(raw_centre: NDArray[np.float32], loaded: Gain, threads: int = 1) -> OrientationEvidence:
    assert loaded.image is not None
    return evidence_of(raw_centre, centre_of(loaded.image, LARGEST_SIDE_PX), threads=threads)


def _question(settings: GainSettings, movie: Movie) -> _Question:
    state = None if settings.path is None else file_state(settings.path)
    return _Question(settings, state, movie.format, (movie.height, movie.width))


def _camera(movie: Movie) -> str:
    return camera_key(movie.path.suffix, movie.height, movie.width)


def _as_used(asked: GainSettings, use: GainUse) -> tuple[GainSettings, GainDecision]:
    operation = use.operation if asked.operation == "auto" else asked.operation
    used = replace(asked, rotate_degrees=use.rotate_degrees, flip=use.flip, operation=operation)
    return used, GainDecision(use.decision)
