"""Tilt series: the mdoc of a whole series, which names the movie of each tilt.

SerialEM adds a section to the mdoc of the series for each tilt once it is recorded, EPU's Tomography 5 too. The series
is named as the file of its sums is. A file of sums of single-particle exposures has such an mdoc as well: only a series
has several angles at one place, or a title that says how it is recorded.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path, PureWindowsPath

from preprocess.sidecars.beside import file_beside
from preprocess.sidecars.mdoc_sections import Mdoc, Section, mdoc_at, same_name, same_stem, time_of
from preprocess.sidecars.sidecar import SidecarUnreadableError, number, pair, positive

_NO_MDOC = (errno.ENOENT, errno.EFBIG, errno.EINVAL)
"""It is gone, or no mdoc. Any other error says that the share cannot tell now."""
_ENDINGS = (".mdoc", ".mrc.mdoc", ".st.mdoc")
_CUTS = re.compile(r"_|(?=\[)")
_SAYS_SERIES = re.compile(r"\b(?:bidir|dosym)\s*=|TiltAxisAngle\s*=", re.IGNORECASE)
_AXIS = re.compile(r"Tilt axis angle\s*=\s*(-?\d+(?:\.\d+)?)")
_SERIES_ANGLES, _SERIES_STAGE_UM = 2.0, 20.0
"""A series has angles that differ by this at least, and places on the stage that differ by this at most."""


def series_mdocs(movie: Path) -> list[Path]:
    """Return the mdocs of whole series with a section that names a movie, in its folder and the one above.

    The movie's name begins with that of the series, as SerialEM, PACEtomo and Tomography 5 name them.

    Raises
    ------
    OSError
        That cannot be found out now.
    """
    if movie.name.startswith("FoilHole_"):
        return []
    return [path for path in _candidates(movie) if names_movie(path, movie)]


def _candidates(movie: Path) -> Iterator[Path]:
    stem = movie.stem
    beginnings = list(dict.fromkeys(stem[: cut.start()] for cut in _CUTS.finditer(stem) if cut.start()))
    folder = movie.absolute().parent
    for beside in dict.fromkeys((movie, movie if _is_mounted(folder) else folder)):
        for beginning in reversed(beginnings):
            for ending in _ENDINGS:
                path = file_beside(beside, beginning + ending)
                if path is not None:
                    yield path


def _is_mounted(folder: Path) -> bool:
    """Return whether the folder above belongs to another device: to ask for names there may mount other shares."""
    try:
        return not folder.name or folder.stat().st_dev != folder.parent.stat().st_dev
    except FileNotFoundError:
        return True


def names_movie(path: Path, movie: Path) -> bool:
    """Return whether an mdoc has a section that names a movie; one that is no mdoc has none.

    Raises
    ------
    OSError
        It cannot be read now.
    """
    try:
        sections = mdoc_at(path).sections
    except SidecarUnreadableError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno not in _NO_MDOC:
            raise error.__cause__ from error
        return False
    return any(same_name(section, movie) or same_stem(section, movie) for section in sections)


def tilts_of(mdoc: Mdoc) -> list[Section]:
    """Return the sections of a tilt series: those that name movies, if they are one series."""
    tilts = [section for section in mdoc.sections if section.kind == "ZValue" and "SubFramePath" in section.values]
    says_series = any(_SAYS_SERIES.search(title) for title in mdoc.titles)
    return tilts if says_series or (_have_several_angles(tilts) and _are_at_one_place(tilts)) else []


def _have_several_angles(tilts: list[Section]) -> bool:
    angles = [angle for tilt in tilts if (angle := number(tilt.values.get("TiltAngle"))) is not None]
    return bool(angles) and max(angles) - min(angles) >= _SERIES_ANGLES


def _are_at_one_place(tilts: list[Section]) -> bool:
    places = [place for tilt in tilts if None not in (place := pair(tilt.values.get("StagePosition")))]
    along = [[value for value in axis if value is not None] for axis in zip(*places, strict=True)]
    return all(max(values) - min(values) <= _SERIES_STAGE_UM for values in along)


def series_name(path: Path, mdoc: Mdoc) -> str:
    """Return the name of the series of an mdoc: that of the file of its sums."""
    image_file = PureWindowsPath(mdoc.head.get("ImageFile", "")).stem
    return image_file or path.name.removesuffix(".mdoc").removesuffix(".mrc").removesuffix(".st")


def tilt_axis_degrees(mdoc: Mdoc) -> float | None:
    """Return the angle of the tilt axis in the images, by SerialEM's title."""
    found = next((match for title in mdoc.titles if (match := _AXIS.search(title))), None)
    return float(found[1]) if found else None


def exposures_before(tilts: Sequence[Section], own: Section) -> float:
    """Return how many times its own dose the specimen received in a series before a tilt.

    By the doses of the tilts, or by their exposure times where a dose is missing (0 means that nobody measured it), or
    by their number. The order is that of their times, or of the sections where one has none.
    """
    times = [time_of(tilt.values.get("DateTime")) for tilt in tilts]
    places = list(range(len(tilts)))
    if None not in times:
        places.sort(key=lambda place: (times[place] or datetime.min, place))
    ordered = [tilts[place] for place in places]
    mine = next(place for place, tilt in enumerate(ordered) if tilt is own)
    for name in ("ExposureDose", "ExposureTime"):
        parts = [part for tilt in ordered[: mine + 1] if (part := positive(tilt.values.get(name))) is not None]
        if len(parts) == mine + 1:
            return sum(parts[:-1]) / parts[-1]
    return float(mine)
