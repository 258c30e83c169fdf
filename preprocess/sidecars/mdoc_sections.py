"""The sections of an mdoc, and which of them is about a movie."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from preprocess.input_files import read_small_text
from preprocess.sidecars.sidecar import SidecarUnreadableError

_TIME = re.compile(r"(\d\d)-([A-Za-z]{3})-(\d\d|\d{4})\s+(\d\d):(\d\d):(\d\d)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = re.compile(r"[-+.\deE\s]*")


class Section(NamedTuple):
    """A section: its kind, such as `FrameSet` or `ZValue`, and its values by key."""

    kind: str
    values: dict[str, str]


class Mdoc(NamedTuple):
    """What an mdoc holds: values before the first section, sections, titles; and a last line that is cut off."""

    head: dict[str, str]
    sections: list[Section]
    titles: list[str]
    cut_off: str = ""


def mdoc_at(path: Path) -> Mdoc:
    """Return what an mdoc holds. The last ones are kept in mind: that of a tilt series describes many movies.

    Raises
    ------
    SidecarUnreadableError
        It cannot be read, or a part of it was never written.
    """
    try:
        status = path.stat()
        return _mdoc_at(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise SidecarUnreadableError(f"{path}: {error.strerror or error}") from error


@lru_cache(maxsize=16)
def _mdoc_at(path: Path, _size_bytes: int, _mtime_ns: int, _inode: int) -> Mdoc:
    text = read_small_text(path)
    if "\0" in text:
        raise SidecarUnreadableError(f"{path}: a part of it was never written (it holds zero bytes)")
    text, cut_off = _without_cut_off_number(text)
    return parse_mdoc(text)._replace(cut_off=cut_off)


def _without_cut_off_number(text: str) -> tuple[str, str]:
    """Return the text without a last line that does not end and gives numbers: digits may be missing; and that line.

    SerialEM ends each line.
    """
    whole, feed, last = text.rpartition("\n")
    _, equals, value = last.partition("=")
    return (whole + feed, last.strip()) if equals and _NUMBERS.fullmatch(value) else (text, "")


def parse_mdoc(text: str) -> Mdoc:
    """Return the values before the first section, and those of each section (`[FrameSet = 0]`, `[ZValue = 3]`)."""
    mdoc = Mdoc({}, [], [])
    current = mdoc.head
    for line in text.split("\n"):
        stripped = line.strip()
        key, equals, value = stripped.strip("[]").partition("=")
        if equals and key.strip() == "T":  # a title, which no values follow
            mdoc.titles.append(value.strip())
        elif stripped.startswith("["):
            current = {}
            mdoc.sections.append(Section(key.strip(), current))
        elif equals:
            current[key.strip()] = value.strip()
    return mdoc


def section_of(movie: Path, sections: list[Section]) -> Section | None:
    """Return the section whose frames are this movie; the path in it is that of a Windows machine elsewhere.

    The last one that names it counts: what was recorded again has overwritten the movie. If none does, it is the only
    section, or the only one about a set of frames.
    """
    for same in (same_name, same_stem):
        for section in reversed(sections):
            if same(section, movie):
                return section
    frame_sets = [section for section in sections if section.kind == "FrameSet"]
    return next((each[0] for each in (sections, frame_sets) if len(each) == 1), None)


def same_name(section: Section, movie: Path) -> bool:
    """Return whether a section names a movie."""
    return _named(section).name.lower() == movie.name.lower()


def same_stem(section: Section, movie: Path) -> bool:
    """Return whether a section's name differs only in what a converter of movies changes: the extension."""
    return _named(section).stem.lower() == movie.stem.lower()


def _named(section: Section) -> PureWindowsPath:
    return PureWindowsPath(section.values.get("SubFramePath", ""))


def time_of(text: str | None) -> datetime | None:
    """Return the time of `08-Oct-21  07:39:08` or `08-Oct-2021  07:39:08`; the months are English everywhere."""
    found = _TIME.fullmatch((text or "").strip())
    if not found:
        return None
    day, month, year, hour, minute, second = found.groups()
    try:
        century = 2000 if len(year) == 2 else 0
        return datetime(
            century + int(year), _MONTHS.index(month.capitalize()) + 1, int(day), int(hour), int(minute), int(second)
        )  # SerialEM writes no time zone
    except ValueError:
        return None
