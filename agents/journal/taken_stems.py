"""Which names of files on the receiver exposures have: two that differ in upper and lower case alone are one there."""

from __future__ import annotations

import sqlite3

from transfer.wire.names import folded


class TakenStems:
    """The names that the exposures of a journal have for their files on the receiver, without suffix."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._folded: dict[str, str] | None = None

    def free(self, stem: str) -> str:
        """Return that name, or with the first number that makes it one that no exposure has; it counts as taken now."""
        if self._folded is None:
            rows = self._db.execute("SELECT remote_stem FROM exposures")
            self._folded = {folded(row["remote_stem"]): row["remote_stem"] for row in rows}
        free, number = stem, 1
        while self._is_taken(free):
            number += 1
            free = f"{stem}-{number}"
        self._folded[folded(free)] = free
        return free

    def _is_taken(self, stem: str) -> bool:
        has = self._folded.get(folded(stem)) if self._folded is not None else None
        if has is None:
            return False
        # what a transaction entered that was taken back is not there
        return self._db.execute("SELECT 1 FROM exposures WHERE remote_stem = ?", (has,)).fetchone() is not None
