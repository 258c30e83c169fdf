"""The optics groups of a session: one for each set of optical values and, with EPU's beam shift, each cluster of it.

RELION refines the beam tilt of each group. `optics_groups.star`, in the session's folder for RELION, has the mean beam
shift of each group, from which a later run goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from api.registrars.relion_beam_shifts import Cluster, HolePattern, ShiftedExposure
from api.registrars.relion_mtf import MTF_COLUMN, MTF_STAR
from api.registrars.star import StarTable, read_star, write_star
from transfer.wire.exposure_record import ExposureRecord

OPTICS, GROUP, GROUP_NAME = "optics", "rlnOpticsGroup", "rlnOpticsGroupName"
GROUPS_STAR = "optics_groups.star"
_X, _Y, _COUNT = "cryoferryBeamShiftX", "cryoferryBeamShiftY", "cryoferryExposuresOfMean"
_UNKNOWN = "None"

Row = dict[str, str]


class OpticsGroups:
    """The groups, the same in all lists of the session. A group never changes its number. Threads may share it.

    All have the MTF that lies in the project as `mtf.star`, if one does: RELION reads it where it runs.
    """

    def __init__(self, project: Path) -> None:
        self._path = project / GROUPS_STAR
        self._mtf = project / MTF_STAR
        self._pattern = HolePattern()
        self._clusters: dict[str, Cluster] = {}
        self._groups: dict[str, Row] = {}
        self._changed = False
        self._given: dict[str, str] = {}
        self._lock = threading.RLock()
        tables = read_star(self._path) if self._path.exists() else {}
        for row in tables[OPTICS].rows() if OPTICS in tables else []:
            x, y, count = row.pop(_X), row.pop(_Y), row.pop(_COUNT)
            if x != _UNKNOWN:
                self._clusters[row[GROUP]] = Cluster(float(x), float(y), int(count))
            self._groups[row[GROUP]] = row

    def take(self, tables: Mapping[str, StarTable]) -> None:
        """Take over the groups of a list that an older version wrote: they have no beam shift."""
        with self._lock:
            for row in tables[OPTICS].rows() if OPTICS in tables else []:
                row.pop(MTF_COLUMN, None)
                self._groups.setdefault(row[GROUP], row)

    def give(self, numbers: Mapping[str, str]) -> None:
        """Take over the groups that exposures have, by the file name of the micrograph, where none is known."""
        with self._lock:
            self._given = {**numbers, **self._given}

    def number_of(self, name: str, record: ExposureRecord) -> str:
        """Return the number of the group of an exposure, which is the same for all who ask by this file name."""
        with self._lock:
            self._given[name] = self.number(record, self._given.get(name))
            return self._given[name]

    def number(self, record: ExposureRecord, known: str | None = None) -> str:
        """Return the number of the group of an exposure.

        Parameters
        ----------
        record
            The exposure.
        known
            The group that it has, if it is listed. It keeps it, unless its optical values are others now or its beam
            shift has become known.
        """
        with self._lock:
            return self._number(record, known)

    def _number(self, record: ExposureRecord, known: str | None) -> str:
        optics, exposure = _optics(record), ShiftedExposure.of(record)
        equal = [number for number, row in self._groups.items() if _values(row) == _values(optics)]
        if known in equal and (known in self._clusters or exposure is None):
            return str(known)
        if exposure is None:
            plain = (number for number in equal if number not in self._clusters)
            return next(plain, None) or self._new(optics)
        clusters = {number: self._clusters[number] for number in equal if number in self._clusters}
        number = self._pattern.choose(exposure, clusters)
        if number is None:
            number = self._new(optics)
            self._clusters[number] = Cluster(exposure.x, exposure.y)
        elif clusters[number].add(exposure):
            self._changed = True
        self._pattern.remember(exposure, number)
        return number

    def table(self) -> tuple[tuple[str, ...], list[str]]:
        """Return the columns and the rows of the table of groups."""
        mtf = {MTF_COLUMN: MTF_STAR} if self._mtf.exists() else {}
        with self._lock:
            return _table([row | mtf for row in self._groups.values()])

    def write(self) -> None:
        """Bring the file of the groups up to date, before lists name new ones; it is on the disk on return."""
        with self._lock:
            if not self._changed or not self._clusters:
                return
            rows = [row | self._of_cluster(row[GROUP]) for row in self._groups.values()]
            write_star(self._path, {OPTICS: _table(rows)})
            self._changed = False

    def _new(self, optics: Row) -> str:
        number = str(max(map(int, self._groups), default=0) + 1)
        self._groups[number] = {GROUP_NAME: f"opticsGroup{number}", GROUP: number, **optics}
        self._changed = True
        return number

    def _of_cluster(self, number: str) -> Row:
        cluster = self._clusters.get(number)
        if cluster is None:
            return dict.fromkeys((_X, _Y, _COUNT), _UNKNOWN)
        return {_X: f"{cluster.x:.9g}", _Y: f"{cluster.y:.9g}", _COUNT: str(cluster.count)}


def _optics(record: ExposureRecord) -> Row:
    acquisition = record.acquisition
    return {
        "rlnMicrographOriginalPixelSize": f"{acquisition.movie_pixel_size_angstrom:.6f}",
        "rlnMicrographPixelSize": f"{record.micrograph_pixel_size_angstrom:.6f}",
        "rlnVoltage": f"{acquisition.voltage_kv:.6f}",
        "rlnSphericalAberration": f"{acquisition.cs_mm:.6f}",
        "rlnAmplitudeContrast": f"{acquisition.amplitude_contrast:.6f}",
    }


def _values(row: Row) -> tuple[str, ...]:
    return tuple(value for name, value in row.items() if name not in (GROUP, GROUP_NAME))


def _table(rows: list[Row]) -> tuple[tuple[str, ...], list[str]]:
    return tuple(rows[0]) if rows else (), [" ".join(row.values()) for row in rows]
