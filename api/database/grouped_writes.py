"""Puts changes of the database that come at the same time into one transaction, so that they wait for the disk once.

A commit costs the same few fsyncs whether it holds one change or twenty. While one group is being committed, the next
one collects. No change waits for others to come: a change alone is committed at once. Each call returns when its group
is durable, as if the change had had a transaction of its own. If one change of a group fails, the transaction is rolled
back and the group is made again, each change behind a savepoint, so that the others succeed without the failed one.
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
_REFUSALS = (TransferError, IntegrityError, OSError)  # errors of one change, which do not concern the others


class _Change:
    """One caller's change and its result or error."""

    def __init__(self, change: Callable[[Connection], Any]) -> None:
        self.change = change
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """Make the change."""
        self.result = self.change(connection)

    def run_alone(self, connection: Connection) -> None:
        """Make the change behind a savepoint; if it fails, roll it back and keep the error.

        An error of the database itself (no space, no disk) is raised: the database may have rolled back the other
        changes too, so it ends the group.
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
            # A full disk makes SQLite roll back everything, the savepoint too: the first error is the cause.
            raise cause or error from None


class GroupedWrites:
    """Makes the changes of many threads in common transactions.

    Parameters
    ----------
    database
        The database to change.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._waiting: list[_Change] = []
        self._list = threading.Lock()

    def write(self, change: Callable[[Connection], Result]) -> Result:
        """Make a change; return what it returns once it is durable, or raise what it raises.

        The change may be called twice if the first transaction is rolled back, and in another thread. So it must use
        nothing but its connection.
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
        failed: BaseException | None = ReceiverBusy("another change in the same database transaction failed")
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
