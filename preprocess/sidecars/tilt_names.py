"""Names of movies that say by themselves of which tilt they are."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

_TILT_NAME = re.compile(
    r"^(?P<series>.+?)_(?P<number>\d{3,4})"
    r"(?:_(?P<angle>-?\d+\.\d+)_(?P<time>\d{8}_\d{6})_(?:EER|fractions)|_?\[(?P<bracketed>-?\d+\.\d+)\].*)$",
    re.ASCII | re.IGNORECASE,
)


class TiltName(NamedTuple):
    """What the name of a tilt's movie says. Tilts are numbered from 1 in the order in which they are recorded."""

    series: str
    number: int
    angle_degrees: float
    time: datetime | None


def tilt_by_name(movie: Path) -> TiltName | None:
    """Return what a name of Tomography 5 says; None for other names.

    SerialEM's names with an angle do not tell: single-particle exposures may have them too.
    """
    found = _TILT_NAME.match(movie.stem)
    if not found:
        return None
    try:
        time = datetime.strptime(found["time"], "%Y%m%d_%H%M%S") if found["time"] else None
    except ValueError:
        return None
    return TiltName(found["series"], int(found["number"]), float(found["angle"] or found["bracketed"]), time)
