"""Finds files in a folder that was named, and in the folders inside it, and says what is passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

Judge = Callable[[Path, Collection[str]], Iterable[tuple[str, str]]]
"""Of a folder and the names of its files: each name with the reason why it is passed over; empty if it is not."""


class InputInFolder(NamedTuple):
    """A file, the folder of its outputs, and its name for people: its path inside the folder that was named."""

    path: Path
    out: Path
    name: str


def found_in(folder: Path, out: Path | None, judge: Judge, passed_over: dict[Path, str]) -> Iterator[InputInFolder]:
    """Yield the files of a folder, at any depth; links to folders are not followed.

    Outputs go to folders in `out` that lie as the files do; `out` itself is passed over.
    """
    real_out = None if out is None else out.resolve()

    def not_read(error: OSError) -> None:
        passed_over[Path(error.filename)] = f"a folder that cannot be read: {error.strerror}"

    for place, folders, files in os.walk(folder, onerror=not_read):
        here = Path(place)
        passed_over |= {here / name: why for name in folders if (why := _not_entered(here / name, real_out))}
        folders[:] = sorted(name for name in folders if here / name not in passed_over)
        inside = here.relative_to(folder)
        for name, why in judge(here, files):
            if why:
                passed_over[here / name] = why
            else:
                yield InputInFolder(here / name, here if out is None else out / inside, str(inside / name))


def _not_entered(folder: Path, real_out: Path | None) -> str:
    """Return why a folder inside another one is passed over; empty if it is not."""
    if folder.name.startswith("."):
        return "a hidden folder"
    if folder.is_symlink():
        return "a link to a folder; name that folder itself"
    return "the folder of the results" if folder.resolve() == real_out else ""
