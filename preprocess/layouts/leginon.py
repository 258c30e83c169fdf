"""Leginon: the movie of an exposure `17nov06a_00001gr_00005sq_v01_00002hl_00003en` is `….frames.tif`, `.mrc` or `.eer`.

All other images of a session (grids, squares, holes, sums, and what Appion aligned: `…en-a.mrc`, `…en-a-DW.mrc`) have
the same kind of stem without `.frames`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from preprocess.layouts.layout import A_REFERENCE, MOVIE, Layout, Recognised

ALIGNED = "an image that Appion aligned"
NO_FRAMES = "an image of Leginon without frames"
_FRAMES = re.compile(r"\.frames\.[a-z]+$", re.IGNORECASE)
_SESSION = re.compile(r"^\d{2}(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\d{2}[a-z]{1,2}_", re.IGNORECASE)
_PRESET = re.compile(r"_\d{5}[a-z]{2,5}\d?(-[A-Za-z0-9-]+)?\.[a-z]+$", re.IGNORECASE)
_CORRECTION = re.compile(r"_(norm|dark|bright)_\d+\.[a-z]+$", re.IGNORECASE)
_PROCESSED = re.compile(r"-[A-Za-z0-9-]+\.[a-z]+$")


def is_leginon_name(name: str) -> bool:
    """Return whether this is one of Leginon's file names: it begins with a session like `17nov06a`, or has frames."""
    return bool(
        (".frames." in name.lower() and _FRAMES.search(name))
        or (_SESSION.match(name) and (_PRESET.search(name) or _CORRECTION.search(name)))
    )


def judge(name: str, _siblings: Collection[str]) -> Recognised:
    """Return whether it is a movie: only `….frames.…` is."""
    if _FRAMES.search(name):
        return MOVIE
    if _CORRECTION.search(name):
        return Recognised(A_REFERENCE)
    return Recognised(ALIGNED if _PROCESSED.search(name) else NO_FRAMES)


LEGINON = Layout("leginon", judge, ("leginon",))
