"""No recording program known: whatever has a movie's suffix is a movie, and brings no gain reference."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agents.layouts.layout import MOVIE, Layout, Recognised


def judge(_name: str, _siblings: Collection[str]) -> Recognised:
    """Every file with a movie's suffix is a movie."""
    return MOVIE


def gain(_movie: Path, _source: Path) -> Path | None:
    """No gain reference is looked for."""
    return None


FLAT = Layout("flat", judge, gain)
