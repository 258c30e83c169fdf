"""One check of a whole data folder: goes through all files, counts them, and notes what is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select

from api.checking.findings import note, note_sha256
from api.checking.folder_check import FileFinding, FindingKind, Take, extra_files, finding_of, seen_files
from api.database.engine import Database
from api.database.tables import files
from api.store.storage import Storage
from transfer.wire.verification import FileCheck


@dataclass
class CheckCounts:
    """How many files a check has seen, and how many of them are not as they should be."""

    files: int = 0
    missing: int = 0
    changed: int = 0
    unreadable: int = 0
    extra: int = 0

    @property
    def problems(self) -> int:
        """How many findings there are."""
        return self.missing + self.changed + self.unreadable + self.extra

    def add(self, kind: FindingKind) -> None:
        """Count a finding."""
        setattr(self, kind.value, getattr(self, kind.value) + 1)


class WholeCheck:
    """Checks the files of a data folder against its database.

    Parameters
    ----------
    database, storage
        What is compared.
    take
        Waits until so many bytes may be read; it may raise, which ends the check.
    deep
        Read every file. Otherwise only files are read whose time stamp is not the one at their commit.
    notes
        Note in the database what was found.
    repairs
        The caller repairs lost files, which notes them; they are not noted here.

    Attributes
    ----------
    counts
        What was seen so far.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        take: Take,
        *,
        deep: bool = False,
        notes: bool = True,
        repairs: bool = False,
    ) -> None:
        self._database = database
        self._storage = storage
        self._take = take
        self._deep = deep
        self._notes = notes
        self._repairs = repairs
        self.counts = CheckCounts()

    def total_files(self) -> int:
        """Return how many committed files there are."""
        with self._database.read() as connection:
            return int(connection.scalar(select(func.count()).select_from(files)) or 0)

    def committed(self) -> Iterator[FileFinding]:
        """Yield what is wrong with committed files."""
        for batch in seen_files(self._database, self._storage, self._take, deep=self._deep):
            if self._notes:
                same = [(file, seen) for file, seen in batch if seen.check is FileCheck.SAME]
                note(self._database, self._storage, same if self._repairs else batch)
                note_sha256(self._database, batch)
            self.counts.files += len(batch)
            for file, seen in batch:
                finding = finding_of(file, seen)
                if finding is not None:
                    self.counts.add(finding.kind)
                    yield finding

    def extra(self) -> Iterator[FileFinding]:
        """Yield files that stand where committed files do, and that no row names."""
        for finding in extra_files(self._database, self._storage, self._take):
            self.counts.add(finding.kind)
            yield finding
