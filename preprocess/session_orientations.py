"""What the movies of a session have shown of their gain references so far: plain values that travel and are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from preprocess.correction.orientation_evidence import OrientationEvidence
from preprocess.results import GainUse
from preprocess.settings import GainSettings

MOST_MOVIES = 5
"""So many movies are asked at most which way a gain reference lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOrientations:
    """What is known.

    Attributes
    ----------
    decided : Mapping[str, GainUse]
        How gain references lie, by `gain_key`; and by `camera_key`, where all gain references of a camera lie alike, as
        those do that EPU writes beside each movie.
    evidence : Mapping[str, OrientationEvidence]
        Of movies that were too faint, by `evidence_key`.
    """

    decided: Mapping[str, GainUse] = field(default_factory=dict)
    evidence: Mapping[str, OrientationEvidence] = field(default_factory=dict)


def camera_key(movie_suffix: str, height: int, width: int) -> str:
    """Return what names the movies of one camera in one mode."""
    return f"{movie_suffix.lower()} {height}x{width}"


def gain_key(gain_digest: str, camera: str) -> str:
    """Return what names one gain reference, by its content, as it is used for the movies of a camera."""
    return f"{gain_digest} {camera}"


def evidence_key(camera: str, taken: GainSettings) -> str:
    """Return what names evidence that is relative to one way of taking a camera's gain references."""
    return f"{camera} {taken.rotate_degrees} {taken.flip} {taken.operation}"


def evidence_from_json(values: Mapping[str, Any]) -> OrientationEvidence:
    """Return the evidence that JSON values describe."""
    taken: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return OrientationEvidence(**taken)
