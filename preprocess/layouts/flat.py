"""The layout `flat`: every file with a movie's suffix is a movie, and no gain reference is searched for."""

from __future__ import annotations

from collections.abc import Collection

from preprocess.layouts.layout import MOVIE, Layout, Recognised


def judge(_name: str, _siblings: Collection[str]) -> Recognised:
    """Return that it is a movie, as every file with a movie's suffix."""
    return MOVIE


FLAT = Layout("flat", judge)
