"""Chooses among several gain references, or files of defects, the one that a movie was recorded with: by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from preprocess.gains.reference_names import time_in_name

_SAME_TIME = timedelta(seconds=2)
"""Time stamps of files that are no further apart tell nothing: that is FAT's tick."""


@dataclass(frozen=True, slots=True)
class DatedFile:
    """A file that is there, and when it was written by its time stamp."""

    path: Path
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> DatedFile:
        """Return the file as it is now; raises OSError."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def written(self) -> datetime:
        """Return when it was written, by the clock and in the time zone of this machine."""
        return datetime.fromtimestamp(self.mtime_ns / 1e9)  # without a zone, as dates in names

    @property
    def time_in_name(self) -> datetime | None:
        """Return the time that its name gives."""
        return time_in_name(self.path.name, self.written)


@dataclass(frozen=True, slots=True)
class Choice:
    """The file that was chosen, and why; or no file, and between which nothing decides."""

    path: Path | None
    why: str
    undecided: tuple[Path, ...] = ()


def choose(movie: DatedFile, files: Sequence[DatedFile], are_equal: Callable[[DatedFile, DatedFile], bool]) -> Choice:
    """Return the latest file that is not later than the movie; if all are later, the earliest.

    Times in names are compared if the movie and all files have one, else time stamps. Between files of the same time
    that differ in content nothing decides.

    Parameters
    ----------
    movie
        The movie; of its own file, time stamp and name.
    files
        At least one.
    are_equal
        Whether two files have the same content.
    """
    if len(files) == 1:
        return Choice(files[0].path, "it is the only one")
    times, clock = _times(movie, files)
    reference = times.pop()
    before = [index for index, time in enumerate(times) if time <= reference]
    wanted = max(times[index] for index in before) if before else min(times)
    same = [file for file, time in zip(files, times, strict=True) if abs(time - wanted) <= _tolerance(clock)]
    if not before:
        why = f"the earliest of {len(files)}, all later than the movie by {clock}"
    else:
        why = f"the latest of {len(files)} that is not later than the movie, by {clock}"
    first = min(same, key=lambda each: each.path.name)
    if all(each is first or are_equal(first, each) for each in same):
        return Choice(first.path, why)
    return Choice(None, f"have the same time by {clock}, and differ", tuple(each.path for each in same))


def _times(movie: DatedFile, files: Sequence[DatedFile]) -> tuple[list[datetime], str]:
    """Return the times of the files, and of the movie as the last, and what they are taken from."""
    in_names = [each.time_in_name for each in (*files, movie)]
    known = [each for each in in_names if each is not None]
    if len(known) == len(in_names):
        return known, "the times in their names"
    return [each.written for each in (*files, movie)], "their time stamps"


def _tolerance(clock: str) -> timedelta:
    return timedelta(0) if clock.endswith("names") else _SAME_TIME
