"""What each exposure was aligned with beside its movie, as the journal keeps it: gain, defects, sidecars."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from agents.journal.file_identity import FileIdentity
from agents.journal.part import JournalPart
from agents.journal.states import State

_LAST_CHARACTER = "\U0010ffff"


WAITS = "waits for its "
"""In the reason of a found exposure: its movie is finished, and an input of it is awaited."""


class InputKind(StrEnum):
    """What a file is to a movie."""

    GAIN = "gain"
    DEFECTS = "defects"
    SIDECAR = "sidecar"

    @property
    def in_words(self) -> str:
        """What people call it."""
        return {"gain": "gain reference", "defects": "defect file", "sidecar": "metadata file"}[self.value]


class Version(NamedTuple):
    """What tells two versions of a file apart without reading it; a share that is mounted again changes none of it."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int | None

    @classmethod
    def of(cls, identity: FileIdentity) -> Version:
        """Return the version of a file with that identity."""
        return cls(identity.size_bytes, identity.mtime_ns, identity.ctime_ns)


@dataclass(frozen=True, slots=True)
class UsedInput:
    """One input of one exposure.

    Attributes
    ----------
    path
        Its name: relative to the source, or absolute.
    version
        None: it was named (by the user, or by a sidecar), and was not there.
    digest
        BLAKE3 of its content; None: not known.
    """

    kind: InputKind
    path: str
    version: Version | None
    digest: str | None = None


class Candidate(NamedTuple):
    """An exposure that an input may concern; `used` is the input as it used it, None if it did not use it."""

    exposure_id: UUID
    movie: str
    state: State
    has_gain: bool | None
    is_noted: bool
    used: UsedInput | None = None


_CANDIDATE = "exposures.exposure_id, movie, state, has_gain, inputs_noted"


class ExposureInputs(JournalPart):
    """The inputs of all exposures."""

    def note(self, exposure_id: UUID, inputs: Iterable[UsedInput]) -> None:
        """Note all that the newest attempt to align an exposure used; what an earlier one used is forgotten."""
        key = str(exposure_id)
        with self._transaction():
            self._db.execute("DELETE FROM inputs WHERE exposure_id = ?", (key,))
            self._db.execute("UPDATE exposures SET inputs_noted = 1 WHERE exposure_id = ?", (key,))
            for used in inputs:
                self.note_one(exposure_id, used)

    def note_one(self, exposure_id: UUID, used: UsedInput) -> None:
        """Note one input, or another version of it."""
        version = used.version or (None, None, None)
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (str(exposure_id), used.path, used.kind, *version, used.digest),
            )

    def of(self, exposure_id: UUID) -> list[UsedInput]:
        """Return the inputs of an exposure, by path."""
        query = "SELECT * FROM inputs WHERE exposure_id = ? ORDER BY path"
        with self._lock:
            return [_used(row) for row in self._db.execute(query, (str(exposure_id),)).fetchall()]

    def users(self, path: str) -> list[Candidate]:
        """Return the exposures that used an input, or were to use it."""
        query = f"SELECT {_CANDIDATE}, inputs.* FROM inputs JOIN exposures USING (exposure_id) WHERE path = ?"  # noqa: S608  # fixed text
        with self._lock:
            rows = self._db.execute(query, (path,)).fetchall()
        return [_candidate(row)._replace(used=_used(row)) for row in rows]

    def movies_with(self, prefix: str) -> list[Candidate]:
        """Return the exposures of movies whose names begin so."""
        query = f"SELECT {_CANDIDATE} FROM exposures WHERE movie >= ? AND movie < ?"  # noqa: S608  # fixed text
        with self._lock:
            rows = self._db.execute(query, (prefix, prefix + _LAST_CHARACTER)).fetchall()
        return [_candidate(row) for row in rows]

    def movies_below(self, folder: str, beginning: str) -> list[Candidate]:
        """Return the exposures of movies in the folders below one whose files' names begin so."""
        query = (
            f"SELECT {_CANDIDATE} FROM exposures WHERE movie >= ? AND movie < ?"  # noqa: S608  # fixed text
            " AND instr(substr(movie, ?), ?) > 0"
        )
        values = (folder, folder + _LAST_CHARACTER, len(folder) + 1, f"/{beginning}")
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return [_candidate(row) for row in rows]

    def watched(self) -> set[str]:
        """Return inputs that no scan finds: those that were named and not there, and those outside of the source."""
        query = (
            "SELECT path FROM inputs INDEXED BY inputs_absent WHERE size_bytes IS NULL"
            " UNION SELECT DISTINCT path FROM inputs WHERE path >= '/' AND path < '0'"
        )
        with self._lock:
            return {row[0] for row in self._db.execute(query)}

    def newest(self, most: int) -> Iterator[tuple[str, set[InputKind]]]:
        """Yield movies that were aligned, and which kinds of inputs each used; of the newest, the oldest first."""
        query = (
            "SELECT exposure_id, movie FROM exposures INDEXED BY exposures_with_inputs WHERE inputs_noted = 1"
            " ORDER BY number DESC LIMIT ?"
        )
        with self._lock:
            rows = self._db.execute(query, (most,)).fetchall()
        for row in reversed(rows):
            yield row["movie"], {used.kind for used in self.of(UUID(row["exposure_id"])) if used.version}


def _candidate(row: sqlite3.Row) -> Candidate:
    has_gain = None if row["has_gain"] is None else bool(row["has_gain"])
    return Candidate(UUID(row["exposure_id"]), row["movie"], State(row["state"]), has_gain, bool(row["inputs_noted"]))


def _used(row: sqlite3.Row) -> UsedInput:
    version = None if row["size_bytes"] is None else Version(row["size_bytes"], row["mtime_ns"], row["ctime_ns"])
    return UsedInput(InputKind(row["kind"]), row["path"], version, row["digest"])
