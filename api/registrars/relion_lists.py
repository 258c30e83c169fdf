"""Lists of a session's micrographs in RELION's STAR format, which grow with the session.

Rows are appended, so that the cost of one does not grow with the list. When a row changes or goes, or an optics group
is new, the file is replaced in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from api.registrars.star import FileMark, StarTable, append_rows, read_star, write_star
from transfer.wire.exposure_record import ExposureRecord

OPTICS, MICROGRAPHS = "optics", "micrographs"
NAME, GROUP = "rlnMicrographName", "rlnOpticsGroup"

Row = dict[str, str]


def file_name(micrograph: str) -> str:
    """Return the file name of a micrograph's path, which is the same for all its revisions."""
    return micrograph.rpartition("/")[2]


class OpticsGroups:
    """The optics groups of a session, the same in all its lists. A group never changes its number."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Row] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def take(self, tables: Mapping[str, StarTable]) -> None:
        """Take over the groups of a list that was written earlier."""
        for row in tables[OPTICS].rows() if OPTICS in tables else []:
            self._groups.setdefault(_values(row), row)

    def number(self, record: ExposureRecord) -> str:
        """Return the number of the group that has the record's values."""
        optics = _optics(record)
        row = self._groups.get(_values(optics))
        if row is None:
            number = str(len(self._groups) + 1)
            row = {"rlnOpticsGroupName": f"opticsGroup{number}", GROUP: number, **optics}
            self._groups[_values(optics)] = row
        return row[GROUP]

    def table(self) -> tuple[tuple[str, ...], list[str]]:
        """Return the columns and the rows of the table of groups."""
        rows = list(self._groups.values())
        return tuple(rows[0]) if rows else (), [" ".join(row.values()) for row in rows]


class MicrographList:
    """One list, by file name, as its file shows it after `write`.

    Parameters
    ----------
    path
        The STAR file. Rows that it has already are taken over.
    columns
        Of each row, in their order; the first is the micrograph's name.
    optics
        The groups of all lists of the session; those of the file are added.
    """

    def __init__(self, path: Path, columns: Sequence[str], optics: OpticsGroups) -> None:
        self.path = path
        self._columns = columns
        self._optics = optics
        self._written_groups = 0
        self._mark: FileMark | None = None  # of the file as it was written last; None: it has to be written anew
        self._added: list[str] = []
        tables = read_star(path) if path.exists() else {}
        optics.take(tables)
        lines = tables[MICROGRAPHS].lines if MICROGRAPHS in tables else []
        self._lines = {file_name(line.split(maxsplit=1)[0]): line for line in lines}

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def names(self) -> list[str]:
        """Return the file names of the micrographs that are listed."""
        return list(self._lines)

    def row(self, name: str) -> Row:
        """Return the row of a micrograph that is listed."""
        return dict(zip(self._columns, self._lines[name].split(), strict=True))

    def put(self, row: Row) -> None:
        """List a micrograph, in place of its earlier row."""
        line = " ".join(row[column] for column in self._columns)
        name = file_name(row[NAME])
        known = self._lines.get(name)
        self._lines[name] = line
        if known is None:
            self._added.append(line)
        elif known != line:
            self._mark = None

    def remove(self, name: str) -> None:
        """List a micrograph no longer."""
        if self._lines.pop(name, None) is not None:
            self._mark = None

    def write(self) -> None:
        """Bring the file up to date; it is on the disk on return."""
        mark, self._mark = self._mark, None  # the file is written anew after an error
        added, self._added = self._added, []
        if len(self._optics) != self._written_groups and added:
            mark = None
        if mark is not None:
            mark = append_rows(self.path, mark, added)
        if mark is None:
            self._written_groups = len(self._optics)
            tables = {OPTICS: self._optics.table(), MICROGRAPHS: (self._columns, self._lines.values())}
            mark = write_star(self.path, tables)
        if self._lines:  # or else the file has no table of micrographs yet
            self._mark = mark


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
    return tuple(value for name, value in row.items() if name not in (GROUP, "rlnOpticsGroupName"))
