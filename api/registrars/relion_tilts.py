"""Lists the tilts of a session for RELION 5's tomography, each series in a STAR file of its own.

`corrected_tilt_series.star` lists the series, as RELION's motion correction of tilt series does, and
`tilt_series/NAME.star` the tilts of one (RELION 5.0: src/motioncorr_runner.cpp, src/jaz/tomography/tomogram_set.cpp). A
series whose tilts all have a CTF has its columns too, as after RELION's CTF estimation: without them no tomogram is
reconstructed. None of the tilts is among the micrographs for single particles. A series has a hundred tilts or so, so
its file is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from api.registrars.reader_names import reader_name
from api.registrars.relion_motion import movie_of
from api.registrars.star import quoted, read_star, write_star
from transfer.wire.exposure_record import ExposureRecord

SERIES_STAR, FOLDER = "corrected_tilt_series.star", "tilt_series"
HAND = "-1.0"
"""RELION's own default; whether it is right shows in the tomograms."""
_NAME, _MOVIE, _BEFORE = "rlnMicrographName", "rlnMicrographMovieName", "rlnMicrographPreExposure"
_INDEX = "rlnTomoTiltMovieIndex"
_COMMON = (
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnMicrographOriginalPixelSize",
    "rlnTomoTiltSeriesPixelSize",
)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]")
_PLAIN = re.compile(r"(?!data_|loop_|save_|stop_|global_)[A-Za-z0-9]", re.IGNORECASE)
"""The beginning of a value that a STAR file does not take for something else."""
_LONGEST_NAME = 200
_OF_FRAMES = ("frames", "movies", "raw", "rawdata")
"""Folders whose names say nothing about a series."""

Row = dict[str, str]


@dataclass(slots=True)
class _Series:
    """One series: the folder of its movies, what is the same for its tilts, their rows by micrograph file."""

    folder: str
    common: Row = field(default_factory=dict)
    tilts: dict[str, Row] = field(default_factory=dict)


class TiltLists:
    """The tilt series of one session's project, as its files list them."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._series: dict[str, _Series] = {}
        self._changed: set[str] = set()
        self._load()

    @property
    def are_empty(self) -> bool:
        """Return whether no tilt is listed."""
        return not any(series.tilts for series in self._series.values())

    def put(self, row: Row, record: ExposureRecord) -> None:
        """List an exposure that is a tilt.

        Parameters
        ----------
        row
            What a row has for any exposure: the names of the micrograph and its motion file, the motion, its CTF.
        """
        self.remove(row[_NAME])
        name, folder = self._name_of(record)
        series = self._series.setdefault(name, _Series(folder))
        series.common = _common(record)
        series.tilts[Path(row[_NAME]).name] = _tilt(row, record)
        self._changed.add(name)

    def remove(self, micrograph: str) -> None:
        """List an exposure no longer: its newest revision may be no tilt, or one of another series."""
        file = Path(micrograph).name
        self._changed |= {name for name, series in self._series.items() if series.tilts.pop(file, None) is not None}

    def write(self) -> None:
        """Replace the files of the series that changed, and the list of all, each in one step."""
        if not self._changed:
            return
        listed = {name: series for name, series in self._series.items() if series.tilts}
        for name in sorted(self._changed & listed.keys()):
            write_star(self._star(name), {name: _table(_in_order(listed[name].tilts.values()))})
        groups = list(dict.fromkeys(tuple(series.common.values()) for series in listed.values()))
        rows = [
            {
                "rlnTomoName": name,
                "rlnTomoTiltSeriesStarFile": f"{FOLDER}/{name}.star",
                **series.common,
                "rlnTomoHand": HAND,
                "rlnOpticsGroupName": f"opticsGroup{groups.index(tuple(series.common.values())) + 1}",
            }
            for name, series in listed.items()
        ]
        write_star(self._project / SERIES_STAR, {"global": _table(rows)})
        self._changed.clear()

    def _name_of(self, record: ExposureRecord) -> tuple[str, str]:
        """Return the name of a tilt's series, unique in the session, and the folder of its movies."""
        folder = PurePosixPath(_folder(quoted(movie_of(record))))
        parts = folder.parts[1:-1] if folder.name.lower() in _OF_FRAMES else folder.parts[1:]
        words = (*(_UNSAFE.sub("_", part) for part in parts), reader_name(record.acquisition.tilt_series or ""))
        plain = "_".join(words)
        plain = plain if _PLAIN.match(plain) else f"TS_{plain}"
        distinct = f"{plain[-_LONGEST_NAME:].lstrip('_.+-')}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        is_taken = plain in self._series and self._series[plain].folder != str(folder)
        return distinct if is_taken or len(plain) > _LONGEST_NAME else plain, str(folder)

    def _star(self, name: str) -> Path:
        return self._project / FOLDER / f"{name}.star"

    def _load(self) -> None:
        path = self._project / SERIES_STAR
        tables = read_star(path) if path.exists() else {}
        for listed in tables["global"].rows() if "global" in tables else []:
            name = listed["rlnTomoName"]
            table = read_star(self._star(name))[name] if self._star(name).exists() else None
            if table is None:
                continue
            last = len(table.columns) - 1
            rows = [dict(zip(table.columns, line.split(maxsplit=last), strict=True)) for line in table.lines]
            folder = _folder(rows[0][_MOVIE])
            tilts = {Path(row[_NAME]).name: row for row in rows}
            self._series[name] = _Series(folder, {each: listed[each] for each in _COMMON}, tilts)


def _folder(movie: str) -> str:
    """Return the folder of a movie whose name stands as a value of a STAR file."""
    return str(PurePosixPath(movie.strip("\"'")).parent)


def _common(record: ExposureRecord) -> Row:
    known = record.acquisition
    values = (
        known.voltage_kv,
        known.cs_mm,
        known.amplitude_contrast,
        known.movie_pixel_size_angstrom,
        record.micrograph_pixel_size_angstrom,
    )
    return {name: f"{value:.6f}" for name, value in zip(_COMMON, values, strict=True)}


def _tilt(row: Row, record: ExposureRecord) -> Row:
    """Return a tilt's row. The movie stands last: its name may have spaces."""
    known = record.acquisition
    values: dict[str, float | None] = {
        "rlnTomoNominalStageTiltAngle": known.tilt_angle_degrees,
        "rlnTomoNominalTiltAxisAngle": known.tilt_axis_degrees,
        "rlnTomoNominalDefocus": None if known.target_defocus_um is None else -known.target_defocus_um,
        _BEFORE: known.pre_exposure_e_per_a2,
    }
    return {
        **{name: value for name, value in row.items() if name != "rlnOpticsGroup"},
        "rlnTomoTiltMovieFrameCount": str(known.frame_count),
        **{name: f"{value:.6f}" for name, value in values.items() if value is not None},
        _MOVIE: quoted(movie_of(record)),
    }


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order in which the tilts were recorded, which the dose before them tells, and number them."""
    ordered = sorted(rows, key=lambda row: (float(row[_BEFORE]), row[_MOVIE]))
    return [
        {_NAME: row[_NAME], _INDEX: str(number)} | row | {_INDEX: str(number)} for number, row in enumerate(ordered, 1)
    ]


def _table(rows: list[Row]) -> tuple[tuple[str, ...], list[str]]:
    """Return a table with the columns that all rows have."""
    columns = tuple(name for name in rows[0] if all(name in row for row in rows)) if rows else ()
    return columns, [" ".join(row[name] for name in columns) for row in rows]
