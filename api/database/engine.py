"""Opens the receiver's database and gives out connections, for reading and for writing.

SQLite is the default; a URL chooses PostgreSQL. No statement is for one of them alone. `read()` and `write()` give out
a connection inside one transaction and mean the same on both. A reader sees the database as it was at one moment.
There is one writer at a time over all processes, from its first statement on. So a writer sees everything that was
written before it, writers never deadlock, and numbers (of events, of published exposures) become visible in order.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from api.errors import BadOption

BUSY_TIMEOUT_S = 30
CLOSE_WAIT_S = 2.0
SQLITE_CONNECTIONS = 64
_ONE_WRITER = text("SELECT pg_advisory_xact_lock(7212953)")  # any number, always the same


class Database:
    """A database that many threads use.

    Parameters
    ----------
    url
        SQLAlchemy URL of an SQLite file or a PostgreSQL database.

    Raises
    ------
    BadOption
        The URL names no database that can be used here.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        try:
            self.engine: Engine = create_engine(parsed, **_pool_options(parsed))
        except (ArgumentError, NoSuchModuleError) as error:
            raise BadOption(f"--database: {error}") from error
        except ImportError as error:
            raise BadOption(
                f"--database: the driver for {parsed.get_backend_name()} cannot be loaded ({error})",
                hint="Install it beside cryoferry: pip install 'psycopg[binary]'.",
            ) from error
        self._one_writer = threading.Lock()
        self._reading = self.engine
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give out a connection that sees the database as it is at one moment."""
        with self._reading.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give out a connection whose changes are durable, all or none, when the block ends."""
        if self.engine.dialect.name != "sqlite":
            with self.engine.begin() as connection:
                connection.execute(_ONE_WRITER)
                yield connection
            return
        with self._one_writer, self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections; those that other threads use in this moment, once they are given back."""
        pool, ends = self.engine.pool, time.monotonic() + CLOSE_WAIT_S
        while isinstance(pool, QueuePool) and pool.checkedout() and time.monotonic() < ends:
            time.sleep(0.01)
        self.engine.dispose()


def _parsed(url: str) -> URL:
    """Return a database's URL with our driver. No error text contains the URL, which may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadOption(
            "--database is not a database URL",
            hint="Write postgresql://USER:PASSWORD@HOST:PORT/NAME, with %xx for characters like @ : / in the password.",
        ) from error
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise BadOption(f"--database: {parsed.get_backend_name()} is not supported; PostgreSQL and SQLite are")
    return parsed


def described(url: str) -> str:
    """Return which database a URL names, for the log: without user and password."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return f"SQLite in {parsed.database}"
    return f"PostgreSQL {parsed.database or ''} on {parsed.host or 'this machine'}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite database; None: it is another database, or in memory."""
    parsed = _parsed(url)
    name = parsed.database if parsed.get_backend_name() == "sqlite" else None
    return Path(name) if name and name != ":memory:" else None


def has_password(url: str) -> bool:
    """Return whether a database's URL holds a password."""
    parsed = _parsed(url)
    return parsed.password is not None or "password" in parsed.query


def _pool_options(url: URL) -> dict[str, Any]:
    """Return how connections are kept. An idle SQLite connection costs nothing, so there is one for every thread."""
    if url.get_backend_name() == "sqlite":
        return {"pool_size": SQLITE_CONNECTIONS, "pool_use_lifo": True}
    return {"pool_pre_ping": True}


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself; `_begin_sqlite` does
    # Not WAL: most Pythons link an SQLite whose WAL reset can corrupt (3.7.0 to 3.51.2), and this is as fast here.
    for pragma in ("journal_mode=TRUNCATE", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    if writes:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    raw: Any = connection.connection
    raw.execute("BEGIN")  # reads nothing, so it cannot fail; through SQLAlchemy it would cost more than the statement
