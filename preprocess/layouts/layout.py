"""What a layout is: the rules of one recording program for the files of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal, NamedTuple

from preprocess.layouts.patterns import NamePatterns

A_REFERENCE = "a reference image, by its name"
"""Why a gain reference or a defect file is not a movie."""
NO_MOVIES_EXTENSION = "not a movie's extension"
MOVIE_SUFFIXES = frozenset({".tif", ".tiff", ".mrc", ".mrcs", ".eer"})
GAIN_FOLDERS = frozenset(
    {"gain", "gains", "gainref", "gainrefs", "gain_ref", "gain_refs", "gain_reference", "gain_references"}
)
"""In lower case: every image in such a folder is a gain reference."""
_IN_FLIGHT = re.compile(r"(downloading|\.tmp|\.temp|\.part|\.partial|\.filepart|\.crdownload|~)$", re.IGNORECASE)
_REFERENCE = re.compile(
    r"([_-]gain|[_-]gainref|^gain(ref|[_-].*)?|^countref.*|^superref.*|^defects?.*)$", re.IGNORECASE
)


def is_gain_folder(folder: str) -> bool:
    """Return whether people keep gain references in a folder, and no movies, by the last part of its path."""
    return folder.rpartition("/")[2].lower() in GAIN_FOLDERS


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
    programs
        Whose rules apply to where gain references and files of defects are: see `preprocess.gains.finding`.
    usual_gain
        Returns the name of the gain reference that the program writes beside a movie of this name; "" if it does not.
    doubt
        Returns what must be read to know whether a file that `judge` calls a movie is one; None: nothing.
    program
        Returns the name of the layout whose rules hold for a file of this name; "" if it is that of no known program.
    patterns
        Which files the user wants as movies.
    """

    name: str
    judge: Callable[[str, Collection[str]], Recognised]
    programs: tuple[Literal["epu", "serialem", "leginon"], ...] = ()
    usual_gain: Callable[[str], str] = _no_name
    doubt: Callable[[str, Collection[str]], Doubt | None] = _no_doubt
    program: Callable[[str, Collection[str]], str] | None = None
    patterns: NamePatterns | None = None

    def recognise(self, name: str, siblings: Collection[str], folder: str = "") -> Recognised:
        """Return whether a file is a movie, from its name and the names of all files in its folder.

        Parameters
        ----------
        folder
            Path of the folder relative to the source: patterns may be about it.
        """
        stem, _, suffix = name.rpartition(".")  # a scan of a large session does this 20 000 times; pathlib is slower
        if name.startswith("."):
            return Recognised("a hidden file")
        if _IN_FLIGHT.search(name) or _IN_FLIGHT.search(stem):
            return Recognised("still being written, by its name")
        if f".{suffix.lower()}" not in MOVIE_SUFFIXES:
            return Recognised(NO_MOVIES_EXTENSION)
        if _REFERENCE.search(stem) or (self.programs and folder and is_gain_folder(folder)):
            return Recognised(A_REFERENCE)
        if self.patterns is not None and (why := self.patterns.why_not(name, folder)):
            return Recognised(why)
        return self.judge(name, siblings)

    def program_of(self, name: str, siblings: Collection[str]) -> str:
        """Return the name of the layout whose rules hold for a file; "" if no known program gives such names."""
        return self.name if self.program is None else self.program(name, siblings)

    def choosing(self, movies: Sequence[str], excluded: Sequence[str]) -> Layout:
        """Return this layout for the files that the user wants as movies, by patterns; see `NamePatterns`."""
        return replace(self, patterns=NamePatterns(tuple(movies), tuple(excluded))) if movies or excluded else self

    @staticmethod
    def label(movie: str) -> str:
        """Return the short name of a movie for people: its stem."""
        return PurePath(movie).stem
