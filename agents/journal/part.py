"""What the parts of the journal have in common: each keeps tables of its own in the journal's database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager


class JournalPart:
    """A part of the journal.

    Parameters
    ----------
    db, lock, transaction
        The journal's connection, the lock around each use of it, and what begins a transaction of the journal.
    """

    def __init__(
        self, db: sqlite3.Connection, lock: threading.RLock, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._db, self._lock, self._transaction = db, lock, transaction
