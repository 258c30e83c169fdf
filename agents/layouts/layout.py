"""What a layout is: the rules of one recording program for the files of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePath

MOVIE_SUFFIXES = frozenset({".tif", ".tiff", ".mrc", ".mrcs", ".eer"})
_IN_FLIGHT = re.compile(r"(downloading|\.tmp|\.temp|\.part|\.partial|\.filepart|\.crdownload|~)$", re.IGNORECASE)
_REFERENCE = re.compile(
    r"([_-]gain|[_-]gainref|^gain(ref|[_-].*)?|^countref.*|^superref.*|^defects?.*)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a layout says of a file: a movie, or (`not_a_movie`) why not."""

    not_a_movie: str = ""

    @property
    def is_movie(self) -> bool:
        """Return whether the file is a movie."""
        return not self.not_a_movie


MOVIE = Recognised()


@dataclass(frozen=True, slots=True)
class Layout:
    """One recording program's rules.

    `judge(name, siblings)` says of a file with a movie's suffix, given the names in its folder, whether it is one;
    `gain(movie, source)` finds the gain reference that lies with a movie.
    """

    name: str
    judge: Callable[[str, Collection[str]], Recognised]
    gain: Callable[[Path, Path], Path | None]

    def recognise(self, name: str, siblings: Collection[str]) -> Recognised:
        """Say what a file is, by its name and the names of all files in its folder."""
        stem, _, suffix = name.rpartition(".")  # a large session asks this 20 000 times a scan, and this is quick
        if name.startswith("."):
            return Recognised("a hidden file")
        if _IN_FLIGHT.search(name) or _IN_FLIGHT.search(stem):
            return Recognised("still being written, by its name")
        if f".{suffix.lower()}" not in MOVIE_SUFFIXES:
            return Recognised("not a movie's extension")
        if _REFERENCE.search(stem):
            return Recognised("a reference image, by its name")
        return self.judge(name, siblings)

    @staticmethod
    def label(movie: str) -> str:
        """Return what people call a movie: its stem."""
        return PurePath(movie).stem
