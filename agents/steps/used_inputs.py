"""The inputs of one alignment: what the user named, what was there before, and whether that is still so afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.finding.movie_inputs import FoundInput, NamedInputs
from agents.finding.source_access import SourceAccess
from agents.journal.inputs import InputKind, UsedInput
from agents.workers.jobs import from_json, to_json, with_changes
from preprocess.exposure.chosen import ChosenAlignment

log = logging.getLogger(__name__)


def named_inputs(chosen: ChosenAlignment, changes: Mapping[str, Any]) -> NamedInputs:
    """Return what the user says about the files of an exposure.

    Parameters
    ----------
    changes
        What `retry` changed in the agent's settings for it.
    """
    settings = (from_json(with_changes(to_json(chosen), changes)) if changes else chosen).settings
    gain = settings.gain
    return NamedInputs(gain.path, settings.defects.path, no_gain=gain.absent, requires_gain=gain.required)


def used_inputs(access: SourceAccess, source: Path, movie: Path, inputs: list[FoundInput]) -> list[UsedInput]:
    """Return what the journal notes of inputs that are about to be used; the worker digests the gain reference.

    Raises
    ------
    OSError
    """
    used = []
    for each in inputs:
        is_small = each.identity is not None and each.kind is not InputKind.GAIN
        digest = access.input_digest(each.kind, each.path, movie) if is_small else None
        used.append(each.used(source, digest))
    return used


def what_differs(before: list[FoundInput], after: list[FoundInput]) -> str:
    """Return which input came or changed between two looks, in words; empty if none did."""
    known = {(each.kind, each.path): each.identity for each in before}
    for each in after:
        earlier = known.get((each.kind, each.path))
        if each.identity is not None and (earlier is None or (earlier[:2] != each.identity[:2] and not each.is_shared)):
            return f"its {each.kind.in_words} {'came' if earlier is None else 'changed'} while it was aligned"
    return ""
