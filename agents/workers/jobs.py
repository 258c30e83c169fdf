"""A user's alignment choices as plain JSON: handed to workers, kept in the journal, changed by `retry`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.pipeline.gain_orientations import GainOrientationUnsure
from preprocess.results import ProcessedMovie
from preprocess.session_orientations import SessionOrientations
from preprocess.settings import AlignmentSettings

_CHOSEN = TypeAdapter(ChosenAlignment)
_PROCESSED = TypeAdapter(ProcessedMovie)
_ORIENTATIONS = TypeAdapter(SessionOrientations)
_NOTHING_CHOSEN = ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition())
_SAME_RESULT = ("device", "threads")
_WHICH_GAIN = ("path", "absent")
_LIES = ("rotate_degrees", "flip")
"""How a gain reference lies."""


def to_json(chosen: ChosenAlignment) -> dict[str, Any]:
    """Return the choices as JSON values."""
    values: dict[str, Any] = _CHOSEN.dump_python(chosen, mode="json")
    return values


def from_json(values: Mapping[str, Any]) -> ChosenAlignment:
    """Return the choices that JSON values describe."""
    return _CHOSEN.validate_python(dict(values))


def processed_to_json(processed: ProcessedMovie) -> dict[str, Any]:
    """Return a result as JSON values."""
    values: dict[str, Any] = _PROCESSED.dump_python(processed, mode="json")
    return values


def processed_from_json(values: Mapping[str, Any]) -> ProcessedMovie:
    """Return the result that JSON values describe."""
    return _PROCESSED.validate_python(dict(values))


def orientations_to_json(orientations: SessionOrientations) -> dict[str, Any]:
    """Return what a session knows of its gain references as JSON values."""
    values: dict[str, Any] = _ORIENTATIONS.dump_python(orientations, mode="json")
    return values


def orientations_from_json(values: Mapping[str, Any]) -> SessionOrientations:
    """Return what JSON values say that a session knows of its gain references."""
    return _ORIENTATIONS.validate_python(dict(values))


def orientation_of(unsure: GainOrientationUnsure) -> dict[str, Any]:
    """Return what a movie says of its gain reference's orientation, as `AlignmentFailure` has it."""
    return {"camera": unsure.camera, "key": unsure.key, "evidence": asdict(unsure.evidence)}


def changes(chosen: ChosenAlignment) -> dict[str, Any]:
    """Return, nested, what of the choices differs from choosing nothing.

    That there is no gain reference replaces one that was chosen before, and the other way round: both are always said.
    So is all of an orientation that was given.
    """
    values, nothing = to_json(chosen), to_json(_NOTHING_CHOSEN)
    if chosen.settings.gain.orientation == "given":
        for name in _LIES:
            del nothing["settings"]["gain"][name]
    found = _difference(values, nothing)
    gain = found.get("settings", {}).get("gain", {})
    if gain.keys() & set(_WHICH_GAIN):
        gain.update({name: values["settings"]["gain"][name] for name in _WHICH_GAIN})
    return found


def with_changes(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON choices with nested changes applied to them."""
    merged = dict(values)
    for key, value in changed.items():
        below = merged.get(key)
        merged[key] = with_changes(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def same_result(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two JSON choices make the same outputs; the device and the number of threads do not matter."""
    return _without_device(one) == _without_device(other)


def _without_device(values: Mapping[str, Any]) -> dict[str, Any]:
    # An older version of cryoferry may have written them.
    complete = to_json(from_json(with_changes(to_json(_NOTHING_CHOSEN), values)))
    return with_changes(complete, {"settings": dict.fromkeys(_SAME_RESULT)})


def _difference(values: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(reference.get(key), Mapping):
            if below := _difference(value, reference[key]):
                found[key] = below
        elif value != reference.get(key):
            found[key] = value
    return found
