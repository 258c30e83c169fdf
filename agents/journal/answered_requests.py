"""The requests that people made to the agent through the receiver, as the journal keeps them with their outcomes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from uuid import UUID

from agents.journal.part import JournalPart


class AnsweredRequests(JournalPart):
    """The requests that the agent did or refused, and whether the receiver has these outcomes."""

    def keep(self, request_id: str, kind: str, exposure_id: UUID | None, outcome: str, reason: str) -> None:
        """Keep what became of a request, so that it is never done a second time."""
        subject = None if exposure_id is None else str(exposure_id)
        with self._transaction():
            self._db.execute(
                "INSERT INTO requests (request_id, kind, exposure_id, outcome, reason, answered_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (request_id, kind, subject, outcome, reason, time.time()),
            )

    def repeat_confirmation(self, request_id: str) -> bool:
        """Return whether a request was answered before; if so, it is confirmed once more."""
        with self._transaction():
            update = "UPDATE requests SET confirmed = 0 WHERE request_id = ?"
            return self._db.execute(update, (request_id,)).rowcount > 0

    def unconfirmed(self, most: int) -> list[tuple[str, str, str]]:
        """Return (id, outcome, reason) of requests whose confirmation has not arrived, oldest first."""
        query = "SELECT request_id, outcome, reason FROM requests WHERE confirmed = 0 ORDER BY number LIMIT ?"
        with self._lock:
            return [tuple(row) for row in self._db.execute(query, (most,)).fetchall()]

    def confirm(self, request_ids: Iterable[str]) -> None:
        """Note that the confirmations of these requests have arrived."""
        with self._transaction():
            self._db.executemany(
                "UPDATE requests SET confirmed = 1 WHERE request_id = ?", [(request_id,) for request_id in request_ids]
            )
