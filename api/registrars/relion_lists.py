"""Lists of a session's micrographs in RELION's STAR format, which grow with the session.

Rows are appended, so that the cost of one does not grow with the list. When a row changes or goes, or the optics groups
change, the file is replaced in one step; so it is when a column appears or goes that only some micrographs have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from api.registrars.relion_optics import OPTICS, OpticsGroups, Row
from api.registrars.star import FileMark, append_rows, read_star, write_star

MICROGRAPHS = "micrographs"
NAME = "rlnMicrographName"
ABSENT = "None"
"""Stands in a row for a file or number that a micrograph does not have."""


def file_name(micrograph: str) -> str:
    """Return the file name of a micrograph's path, which is the same for all its revisions."""
    return micrograph.rpartition("/")[2]


class MicrographList:
    """One list, by file name, as its file shows it after `write`.

    Parameters
    ----------
    path
        The STAR file. Rows that it has already are taken over.
    columns
        Of each row, in their order; the first is the micrograph's name.
    optional
        Columns behind these, each of which the file has while all its micrographs have it.
    optics
        The groups of all lists of the session; those of the file are added.
    """

    def __init__(self, path: Path, columns: Sequence[str], optics: OpticsGroups, optional: Sequence[str] = ()) -> None:
        self.path = path
        self._columns = (*columns, *optional)
        self._required = len(columns)
        self._optics = optics
        self._written_optics: tuple[tuple[str, ...], list[str]] = (), []
        self._written_columns: list[int] = []
        self._mark: FileMark | None = None  # of the file as it was written last; None: it has to be written anew
        self._added: list[str] = []
        tables = read_star(path) if path.exists() else {}
        optics.take(tables)
        self._lines: dict[str, str] = {}
        self._absent = dict.fromkeys(range(self._required, len(self._columns)), 0)
        """How many micrographs have no value in an optional column, by the column's position."""
        for row in tables[MICROGRAPHS].rows() if MICROGRAPHS in tables else []:
            self._replace(file_name(row[NAME]), self._line(row))

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
        line, name = self._line(row), file_name(row[NAME])
        known = self._replace(name, line)
        if known is None:
            self._added.append(line)
        elif known != line:
            self._mark = None

    def remove(self, name: str) -> None:
        """List a micrograph no longer."""
        if self._replace(name, None) is not None:
            self._mark = None

    def write(self) -> None:
        """Bring the file up to date; it is on the disk on return."""
        mark, self._mark = self._mark, None  # the file is written anew after an error
        added, self._added = self._added, []
        optics, columns = self._optics.table(), self._columns_of_all()
        if added and (optics, columns) != (self._written_optics, self._written_columns):
            mark = None
        if mark is not None:
            mark = append_rows(self.path, mark, self._shown(added, columns))
        if mark is None:
            self._written_optics, self._written_columns = optics, columns
            names = [self._columns[position] for position in columns]
            shown = self._shown(self._lines.values(), columns)
            mark = write_star(self.path, {OPTICS: optics, MICROGRAPHS: (names, shown)})
        if self._lines:  # or else the file has no table of micrographs yet
            self._mark = mark

    def _line(self, row: Row) -> str:
        required, optional = self._columns[: self._required], self._columns[self._required :]
        return " ".join((*(row[column] for column in required), *(row.get(column, ABSENT) for column in optional)))

    def _replace(self, name: str, line: str | None) -> str | None:
        """Put a line in place of an earlier one; return that. Count who has no value in optional columns."""
        known = self._lines.pop(name, None) if line is None else self._lines.get(name)
        if line is not None:
            self._lines[name] = line
        for each, one in ((known, -1), (line, 1)):
            values = each.split() if each is not None and self._absent else []
            for position in range(self._required, len(values)):
                self._absent[position] += one if values[position] == ABSENT else 0
        return known

    def _columns_of_all(self) -> list[int]:
        """Return the positions of the columns that all micrographs have."""
        return [position for position in range(len(self._columns)) if not self._absent.get(position)]

    def _shown(self, lines: Iterable[str], columns: Sequence[int]) -> Iterator[str]:
        """Yield lines with these columns only."""
        if len(columns) == len(self._columns):
            yield from lines
            return
        for line in lines:
            values = line.split()
            yield " ".join(values[position] for position in columns)
