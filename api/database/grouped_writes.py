"""Lets concurrent changes of the database share one transaction, and with it the wait for the disk.

A commit costs the same few fsyncs whether it holds one change or twenty. While one group is being committed, the next
gathers: nobody waits for company, and a change alone goes at once. Each returns when its group is durable, as if it had
had a transaction of its own. A group is made as one; only when a change refuses is all taken back and made again, each
behind a savepoint, so that the others go on without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from api.database.engine import Database
from transfer.wire.errors import ReceiverBusy, TransferError

Result = TypeVar("Result")

MAX_GROUP = 64
_REFUSALS = (TransferError, IntegrityError, OSError)  # of one change, which say nothing against the others


class _Change:
    """One caller's change and what became of it."""

    def __init__(self, change: Callable[[Connection], Any]) -> None:
        self.change = change
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """Make the change."""
        self.result = self.change(connection)

    def run_alone(self, connection: Connection) -> None:
        """Make the change, or take all of it back and keep the reason.

        What a database reports of itself (no space, no disk) is not kept but raised: it may have taken back the other
        changes too, and ends the group.
        """
        cause: DBAPIError | None = None
        try:
            with connection.begin_nested():
                try:
                    self.run(connection)
                except DBAPIError as error:
                    cause = error
                    raise
        except _REFUSALS as error:
            self.error = error
        except DBAPIError as error:
            # On a full disk SQLite takes back everything, the savepoint too: that it is missing is not the cause.
            raise cause or error from None


class GroupedWrites:
    """Makes changes of a database, those of many threads together.

    Parameters
    ----------
    database
        Where.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._waiting: list[_Change] = []
        self._list = threading.Lock()

    def write(self, change: Callable[[Connection], Result]) -> Result:
        """Make a change; return what it returns once it is durable, or raise what it raises.

        The change may be called twice, the first time for nothing, and in another thread: it uses its connection alone.
        """
        own = _Change(change)
        with self._list:
            self._waiting.append(own)
        with self._turn:
            while not own.done:
                self._commit_next()
        if own.error is not None:
            raise own.error
        return cast(Result, own.result)

    def _commit_next(self) -> None:
        with self._list:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        failed: BaseException | None = ReceiverBusy("a change of the database that came with this one failed")
        try:
            try:
                self._commit(group, _Change.run)
            except _REFUSALS:
                self._commit(group, _Change.run_alone)
            failed = None
        except DBAPIError as error:
            failed = error
        finally:
            for one in group:
                one.error = failed or one.error
                one.done = True

    def _commit(self, group: list[_Change], run: Callable[[_Change, Connection], None]) -> None:
        """Make a group's changes in one transaction."""
        with self._database.write() as connection:
            for one in group:
                run(one, connection)
