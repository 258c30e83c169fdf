"""The layout `flat`: every file with a movie's suffix is a movie, and no gain reference is searched for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from preprocess.layouts.layout import MOVIE, Layout, Recognised


def judge(_name: str, _siblings: Collection[str]) -> Recognised:
    """Return that it is a movie, as every file with a movie's suffix."""
    return MOVIE


def gain(_movie: Path, _source: Path) -> Path | None:
    """Return None: no gain reference is searched for."""
    return None


FLAT = Layout("flat", judge, gain)
