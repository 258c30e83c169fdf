"""Says in the log what movies are aligned with that nobody named: gain references, the CTF's optics; each once."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath

from agents.finding.movie_inputs import FoundInput, MovieInputs
from agents.journal.inputs import InputKind
from agents.journal.movie_names import relative_path
from preprocess.exposure.acquisition import assumed_optics
from preprocess.results import CTF_RELIABLE, ProcessedMovie

log = logging.getLogger(__name__)

_TELLING = 20
"""So many characters of its name tell a movie from others."""


class SaidReferences:
    """What was said last."""

    def __init__(self) -> None:
        self._said: tuple[str, str] | None = None
        self._said_optics = ""

    def say_optics(self, movie: str, processed: ProcessedMovie) -> None:
        """Say which values the CTF of a movie was estimated with that nobody gave, if that is new."""
        assumed = assumed_optics(processed.acquisition) if CTF_RELIABLE in processed.figures else ""
        if assumed and assumed != self._said_optics:
            self._said_optics = assumed
            log.info("%s: %s", movie, assumed)

    def say(self, movie: str, inputs: MovieInputs) -> None:
        """Say which reference a movie gets that nobody named, or why it gets none, if that is new."""
        gain = next((each for each in inputs if each.kind is InputKind.GAIN and each.gain is not None), None)
        if gain is None and not inputs.doubt:
            return
        said = ("", inputs.doubt) if gain is None else _kind(movie, gain)
        if said == self._said:
            return
        self._said = said
        if gain is None:
            log.warning("%s: no gain reference is taken: %s; name it with --gain", movie, inputs.doubt)
        else:
            assert gain.gain is not None
            log.info("%s: the gain reference is %s: %s", movie, gain.path, gain.gain.found_by)


def _kind(movie: str, found: FoundInput) -> tuple[str, str]:
    """Return what is the same for movies that get the same reference, or each its own in the same way."""
    assert found.gain is not None
    own = PurePosixPath(relative_path(movie)).stem[:_TELLING]
    is_own = found.path.name.startswith(own) and found.path.parent.name == PurePosixPath(movie).parent.name
    return ("" if is_own else str(found.path)), found.gain.found_by
