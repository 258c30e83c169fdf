"""When and where on the grid an exposure was recorded. Alignment uses none of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from preprocess.sidecars.tilt_names import tilt_by_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """When and where an exposure was recorded. None: unknown.

    Attributes
    ----------
    shutter_time : datetime | None
        By the microscope's clock; without a time zone where the microscope writes none.
    stage_x_um, stage_y_um : float | None
        Position of the stage.
    tilt_angle_degrees : float | None
        Tilt of the stage about its axis.
    tilt_series : str | None
        Name of the tilt series.
    tilt_axis_degrees : float | None
        Angle of the tilt axis in the images.
    grid_square, foil_hole : str | None
        EPU's numbers.
    image_shift_x_um, image_shift_y_um : float | None
        SerialEM's image shift.
    exposure_time_s : float | None
        How long the whole movie took.
    beam_shift_x, beam_shift_y : float | None
        EPU's beam shift, in EPU's own unit. EPU moves the image along with the beam, so exposures of equal beam shift
        have equal beam tilt.
    """

    shutter_time: datetime | None = None
    stage_x_um: float | None = None
    stage_y_um: float | None = None
    exposure_time_s: float | None = None
    tilt_angle_degrees: float | None = None
    tilt_series: str | None = None
    tilt_axis_degrees: float | None = None
    grid_square: str | None = None
    foil_hole: str | None = None
    image_shift_x_um: float | None = None
    image_shift_y_um: float | None = None
    beam_shift_x: float | None = None
    beam_shift_y: float | None = None


_GRID_SQUARE = re.compile(r"GridSquare_(\d+)", re.ASCII | re.IGNORECASE)
_FOIL_HOLE = re.compile(r"FoilHole_(\d+)_Data_", re.ASCII | re.IGNORECASE)


def recording_by_name(movie: Path) -> Recording:
    """Return what EPU's names of a movie and its folders say: `GridSquare_N/Data/FoilHole_N_Data_…`, and of a tilt."""
    if (tilt := tilt_by_name(movie)) is not None:
        return Recording(shutter_time=tilt.time, tilt_angle_degrees=tilt.angle_degrees, tilt_series=tilt.series)
    hole = _FOIL_HOLE.match(movie.name)
    squares = (_GRID_SQUARE.fullmatch(folder.name) for folder in movie.parents)
    square = next((found for found in squares if found), None) if hole else None
    return Recording(grid_square=square[1] if square else None, foil_hole=hole[1] if hole else None)


def first_known(recordings: Iterable[Recording]) -> Recording:
    """Return, field by field, the first value that is known."""
    every = list(recordings)
    known = {}
    for field in fields(Recording):
        values = (getattr(recording, field.name) for recording in every)
        known[field.name] = next((value for value in values if value is not None), None)
    return Recording(**known)
