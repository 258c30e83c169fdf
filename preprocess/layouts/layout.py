"""What a layout is: the rules of one recording program for the files of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

A_REFERENCE = "a reference image, by its name"
"""Why a gain reference or a defect file is not a movie."""
NO_MOVIES_EXTENSION = "not a movie's extension"
MOVIE_SUFFIXES = frozenset({".tif", ".tiff", ".mrc", ".mrcs", ".eer"})
_IN_FLIGHT = re.compile(r"(downloading|\.tmp|\.temp|\.part|\.partial|\.filepart|\.crdownload|~)$", re.IGNORECASE)
_REFERENCE = re.compile(
    r"([_-]gain|[_-]gainref|^gain(ref|[_-].*)?|^countref.*|^superref.*|^defects?.*)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """Whether a file is a movie; if not, `not_a_movie` is the reason."""

    not_a_movie: str = ""

    @property
    def is_movie(self) -> bool:
        """Return whether the file is a movie."""
        return not self.not_a_movie


MOVIE = Recognised()


class Doubt(NamedTuple):
    """What must be read to know whether a file with a movie's name is one: see `preprocess.layouts.contents`.

    Attributes
    ----------
    mdoc
        Name of the mdoc that may say it; empty: only the file itself does.
    is_named_as_image
        Whether the name has a word for maps or previews, so that a single image is no movie.
    """

    mdoc: str = ""
    is_named_as_image: bool = False


def _no_path(_movie: Path) -> Path | None:
    return None


def _no_name(_name: str) -> str:
    return ""


def _no_doubt(_name: str, _siblings: Collection[str]) -> Doubt | None:
    return None


@dataclass(frozen=True, slots=True)
class Layout:
    """The rules of one recording program.

    Attributes
    ----------
    judge
        Returns whether a file with a movie's suffix is a movie, from its name and the names in its folder.
    gain
        Returns the gain reference of a movie, from the paths of the movie and of the source; None if there is none.
    named_gain
        Returns where the gain reference is to be that a movie's sidecar names; None if none is named.
    usual_gain
        Returns the name of the gain reference that the program writes beside a movie of this name; "" if it does not.
    doubt
        Returns what must be read to know whether a file that `judge` calls a movie is one; None: nothing.
    """

    name: str
    judge: Callable[[str, Collection[str]], Recognised]
    gain: Callable[[Path, Path], Path | None]
    named_gain: Callable[[Path], Path | None] = _no_path
    usual_gain: Callable[[str], str] = _no_name
    doubt: Callable[[str, Collection[str]], Doubt | None] = _no_doubt

    def recognise(self, name: str, siblings: Collection[str]) -> Recognised:
        """Return whether a file is a movie, from its name and the names of all files in its folder."""
        stem, _, suffix = name.rpartition(".")  # a scan of a large session does this 20 000 times; pathlib is slower
        if name.startswith("."):
            return Recognised("a hidden file")
        if _IN_FLIGHT.search(name) or _IN_FLIGHT.search(stem):
            return Recognised("still being written, by its name")
        if f".{suffix.lower()}" not in MOVIE_SUFFIXES:
            return Recognised(NO_MOVIES_EXTENSION)
        if _REFERENCE.search(stem):
            return Recognised(A_REFERENCE)
        return self.judge(name, siblings)

    @staticmethod
    def label(movie: str) -> str:
        """Return the short name of a movie for people: its stem."""
        return PurePath(movie).stem
