"""A receiver's database in which many changes share one transaction, so that it can be filled quickly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from api.database.engine import Database


class BatchedDatabase(Database):
    """Inside `together`, all that reads and writes uses one transaction. For one thread."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._shared: Connection | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes of the block durable at its end, or none of them."""
        with super().write() as connection:
            self._shared = connection
            try:
                yield
            finally:
                self._shared = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give out the connection of the block, or one that sees the database as it is at one moment."""
        if self._shared is not None:
            yield self._shared
            return
        with super().read() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give out the connection of the block, or one whose changes are durable when the block ends."""
        if self._shared is not None:
            yield self._shared
            return
        with super().write() as connection:
            yield connection
