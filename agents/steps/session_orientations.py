"""What a session has learned of its gain references' orientations: kept in the journal, handed to the workers.

A movie that shows clearly how its gain reference lies decides for those after it; so does a person, by `retry` with an
orientation. Movies that were held back because nothing was known then are begun again by themselves.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from uuid import UUID

from pydantic import TypeAdapter

from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.workers.contract import AlignmentFailure
from preprocess.results import GainUse, ProcessedMovie
from preprocess.session_orientations import MOST_MOVIES, SessionOrientations, camera_key, evidence_from_json, gain_key

log = logging.getLogger(__name__)

NOTE = "gain_orientations"
"""The journal's note of all this."""
_MOST_GAINS = 32
"""So many gain references are remembered, the newest; where each movie has its own, the camera is."""
_KNOWN_NOW = "it is known now which way its gain reference lies"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """What is noted. `apart` are cameras whose gain references lie differently; `held` are exposures, by camera."""

    known: SessionOrientations = field(default_factory=SessionOrientations)
    apart: tuple[str, ...] = ()
    held: dict[UUID, str] = field(default_factory=dict)


_NOTED = TypeAdapter(_Noted)


class LearnedOrientations:
    """What one session has learned."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._lock = journal, threading.Lock()

    def known(self) -> SessionOrientations:
        """Return what is known."""
        return self._noted().known

    def learn(self, exposure: ExposureRow, processed: ProcessedMovie) -> None:
        """Remember how a movie's gain reference was used, if the movie or a person decided that."""
        use, digest = processed.gain, processed.gain_digest
        by_person = _orientation_of(exposure) == "given"
        if use is None or digest is None or use.decision not in (("given",) if by_person else ("kept", "turned")):
            return
        camera = camera_key(processed.movie.suffix, processed.movie_height_px, processed.movie_width_px)
        with self._lock:
            noted = self._noted()
            after = _with_decision(noted, gain_key(digest, camera), camera, use, by_person=by_person)
            if after == noted:
                return
            if noted.known.decided.get(camera) != after.known.decided.get(camera):
                log.info(
                    "%s: gain references of its camera are used with --gain-rotate %s --gain-flip %s (%s)",
                    exposure.movie, use.rotate_degrees, use.flip, use.decision,
                )  # fmt: skip
            freed = [held for held, of_camera in after.held.items() if of_camera == camera]
            with self._journal.transaction():
                self._note(replace(after, held={key: of for key, of in after.held.items() if key not in freed}))
                for held in freed:
                    self._begin_again(held)

    def hold(self, exposure: ExposureRow, failure: AlignmentFailure) -> None:
        """Remember what an exposure that is held back says, and that it is."""
        if failure.orientation is None:
            return
        with self._lock:
            noted, key = self._noted(), failure.orientation["key"]
            evidence = dict(noted.known.evidence)
            before = evidence.get(key)
            if key is not None and exposure.exposure_id not in noted.held:
                own = evidence_from_json(failure.orientation["evidence"])
                if before is None:
                    evidence[key] = own
                elif before.movies < MOST_MOVIES:
                    evidence[key] = before + own
            held = noted.held | {exposure.exposure_id: failure.orientation["camera"]}
            self._note(replace(noted, known=replace(noted.known, evidence=evidence), held=held))

    def _begin_again(self, exposure_id: UUID) -> None:
        exposure = self._journal.exposure(exposure_id)
        if exposure.state is State.HELD:
            log.info("%s: %s; it is aligned", exposure.movie, _KNOWN_NOW)
            self._journal.begin_again(exposure_id, _KNOWN_NOW)

    def _noted(self) -> _Noted:
        text = self._journal.about(NOTE)
        return _Noted() if text is None else _NOTED.validate_json(text)

    def _note(self, noted: _Noted) -> None:
        self._journal.note(**{NOTE: _NOTED.dump_json(noted).decode("utf-8")})


def _orientation_of(exposure: ExposureRow) -> str | None:
    """Return what a person said with `retry` about a gain reference's orientation."""
    gain = exposure.changes.get("settings", {}).get("gain", {})
    said: str | None = gain.get("orientation")
    return said


def _with_decision(noted: _Noted, key: str, camera: str, use: GainUse, *, by_person: bool) -> _Noted:
    decided = dict(noted.known.decided)
    if not by_person and decided.get(key) is not None:
        return noted
    decided.pop(key, None)
    decided[key] = use
    apart = noted.apart
    earlier = decided.get(camera)
    if by_person or (earlier is None and camera not in apart):
        decided[camera] = use
        apart = tuple(each for each in apart if each != camera)
    elif earlier is not None and _lies(earlier) != _lies(use):
        del decided[camera]
        apart = (*apart, camera)
    gains = [each for each in decided if each.count(" ") > 1]
    for oldest in gains[:-_MOST_GAINS]:
        del decided[oldest]
    return replace(noted, known=replace(noted.known, decided=decided), apart=apart)


def _lies(use: GainUse) -> tuple[int, str, str]:
    return use.rotate_degrees, use.flip, use.operation
