"""Verdicts: whether an exposure is accepted or rejected, and who says so."""

from __future__ import annotations

from enum import StrEnum


class VerdictBy(StrEnum):
    """Who decides about an exposure. What a person says holds until it is withdrawn."""

    THRESHOLD = "threshold"
    PERSON = "person"
