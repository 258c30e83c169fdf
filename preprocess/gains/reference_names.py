"""Names of gain references, defect files and the folders that people keep them in, and the dates in names."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePath

from preprocess.layouts.layout import GAIN_FOLDERS, is_gain_folder

FALCON = ".gain"
IMAGE_SUFFIXES = (".dm4", ".mrc", ".tif", ".tiff")
REFERENCE_FOLDERS = GAIN_FOLDERS | {"ref", "refs", "reference", "references"}
"""Folders in which references are looked for, by their names."""

_SERIALEM = re.compile(r"(countref|superref)", re.IGNORECASE)
_GAIN = re.compile(r"(.+[_-]gain(_?ref(erence)?)?|gain(_?ref(erence)?)?([_-].*)?)", re.IGNORECASE)
_OF_ONE = re.compile(r"(.+)[_-]gain(_?ref(erence)?)?", re.IGNORECASE)
_EPU_EXPOSURE = re.compile(r"FoilHole_\d+_Data_", re.ASCII | re.IGNORECASE)
_DEFECTS = re.compile(r"(defects?([_-].*)?|countdefects?_.*|superdefects?_.*)\.txt", re.IGNORECASE)
_MOVIE_ENDINGS = ("", "_fractions", "_Fractions", "_EER")
_MOVIE_SUFFIXES = (".tif", ".tiff", ".mrc", ".mrcs", ".eer")

_EPU_TIME = re.compile(r"(?:^|_)(20\d\d[01]\d[0-3]\d)(?:[_-]([0-2]\d[0-5]\d[0-5]\d))?(?=$|[_.-])", re.ASCII)
_SERIALEM_TIME = re.compile(r"([A-Z][a-z]{2})([0-3]\d)_([0-2]\d)\.([0-5]\d)\.([0-5]\d)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class References:
    """Names in one folder: gain references for many movies, files of defects, and folders to look into."""

    gains: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    folders: tuple[str, ...] = field(default=())


def references_among(names: Collection[str], folder: str) -> References:
    """Return the references among the names in a folder of that name; those of one movie of the folder are left out."""
    siblings, is_for_gains = set(names), is_gain_folder(folder)
    return References(
        tuple(sorted(name for name in names if is_gain(name, is_for_gains) and not _is_of_one(name, siblings))),
        tuple(sorted(name for name in names if is_defect_file(name))),
        tuple(sorted(name for name in names if name.lower() in REFERENCE_FOLDERS)),
    )


def is_gain(name: str, is_in_gain_folder: bool = False) -> bool:
    """Return whether a file is a gain reference, by its name and its folder."""
    stem, _, suffix = name.rpartition(".")  # a scan does this for each file that is no movie; pathlib is slower
    suffix = f".{suffix.lower()}"
    if not stem or name.startswith(".") or suffix not in (FALCON, *IMAGE_SUFFIXES):
        return False
    return suffix == FALCON or is_in_gain_folder or bool(_SERIALEM.match(stem) or _GAIN.fullmatch(stem))


def is_named_after(name: str, movie_stem: str) -> bool:
    """Return whether SerialEM wrote a reference when it saved that movie: later ones use it too, until the next one."""
    return is_serialems(name) and PurePath(name).stem.partition("_")[2] == movie_stem


def is_serialems(name: str) -> bool:
    """Return whether it is one of SerialEM's names of gain references."""
    return bool(_SERIALEM.match(name))


def is_defect_file(name: str) -> bool:
    """Return whether it is one of SerialEM's names of files with a camera's defects."""
    return bool(_DEFECTS.fullmatch(name))


def _is_of_one(name: str, siblings: Collection[str]) -> bool:
    """Return whether a reference belongs to one movie, by the movie's name in its own."""
    found = _OF_ONE.fullmatch(PurePath(name).stem)
    if not found:
        return False
    return bool(_EPU_EXPOSURE.match(name)) or any(
        f"{found[1]}{ending}{suffix}" in siblings for ending in _MOVIE_ENDINGS for suffix in _MOVIE_SUFFIXES
    )


def time_in_name(name: str, about: datetime) -> datetime | None:
    """Return the time that a name gives, by the microscope's clock; None if it gives none.

    Parameters
    ----------
    about
        When the file was written, about: SerialEM's names have no year. It is the latest one that does not lie more
        than a day behind this.
    """
    if found := _EPU_TIME.search(PurePath(name).stem):
        return _parsed(f"{found[1]}{found[2] or '000000'}")
    if (found := _SERIALEM_TIME.search(name)) and found[1] in _MONTHS:
        rest = f"{_MONTHS.index(found[1]) + 1:02}{found[2]}{found[3]}{found[4]}{found[5]}"
        years = (_parsed(f"{about.year + more}{rest}") for more in (1, 0, -1))
        return next((each for each in years if each is not None and each <= about + timedelta(days=1)), None)
    return None


def _parsed(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S")  # names have no time zone
    except ValueError:
        return None
