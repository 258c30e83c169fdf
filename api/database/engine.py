"""The receiver's database: its tables, and the two ways to use it.

Everything that the receiver knows and that is not a committed file's bytes lives here. SQLite by default, PostgreSQL by
URL; nothing in the statements is for one of them alone. `read()` and `write()` hand out a connection inside one
transaction, and mean the same on both: a reader sees one moment; there is one writer at a time, over all processes,
from its first statement on. So a writer sees all that was written before it, two never deadlock, and numbers (of
events, of published exposures) become visible in their order.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    create_engine,
    event,
    insert,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from api.errors import BadOption, DatabaseUnavailable
from transfer.disk import file_lock

BUSY_TIMEOUT_S = 30
SQLITE_CONNECTIONS = 64
_ONE_WRITER = text("SELECT pg_advisory_xact_lock(7212953)")  # any number, always the same


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Store UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Return UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER primary keys only


def _session_column(**options: Any) -> Column[int]:
    return Column("session_id", ForeignKey("sessions.id"), nullable=False, **options)


sessions = Table(
    "sessions",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("state", String(16), nullable=False),  # SessionState
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("session", String(100)),  # a session's name, which need not exist yet; NULL: all sessions
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

_UNFINISHED = text("state = 'receiving'")  # UploadState

uploads = Table(
    "uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    _session_column(),
    Column("path", String(1024), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # UploadState
    Column("generation", Integer, nullable=False),  # of the part file: one that may have lost bytes is made anew
    Column("one_request", Boolean, nullable=False),  # lives only as long as the request that made it
    Column("touched_at", UtcDateTime, nullable=False),
    UniqueConstraint("session_id", "path", "revision"),  # the reservation
    Index("ix_uploads_unfinished", "touched_at", sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED),
)

upload_chunks = Table(
    "upload_chunks",
    metadata,
    Column("upload_id", ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),  # from 0
    Column("digest", LargeBinary(32), nullable=False),  # BLAKE3
    Column("run_id", String(32), nullable=False),  # the receiver's run that wrote it: an earlier run's is checked again
)

withdrawn_uploads = Table(
    "withdrawn_uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    _session_column(),
    Column("path", String(1024), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),  # root digest, hex
    Column("location", Text, nullable=False),  # relative to the data folder
    Column("committed_at", UtcDateTime, nullable=False),
    UniqueConstraint("session_id", "path", "revision"),
)

exposures = Table(
    "exposures",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # also the order of publication
    _session_column(),
    Column("exposure_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),  # the newest
    Column("micrograph_name", String(300), nullable=False),
    UniqueConstraint("session_id", "exposure_id"),
    UniqueConstraint("session_id", "micrograph_name"),
)

exposure_records = Table(
    "exposure_records",
    metadata,
    Column("exposure", ForeignKey("exposures.id"), primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),  # ExposureRecord as JSON
    Column("published_at", UtcDateTime, nullable=False),
)

registrations = Table(
    "registrations",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # the outbox's order
    Column("exposure", ForeignKey("exposures.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("registrar", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # RegistrationState
    Column("detail", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    UniqueConstraint("exposure", "revision", "registrar"),
    Index(None, "registrar", "state"),
)

projects = Table(
    "projects",
    metadata,
    _session_column(primary_key=True),
    Column("registrar", String(32), primary_key=True),
    Column("location", Text, nullable=False),  # where the registrar's project lies
    Column("closed", Boolean, nullable=False, default=False),  # the session ended and the registrar closed its sets
)

events = Table(
    "events",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # the event's number
    _session_column(index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    sqlite_autoincrement=True,
)

agents = Table(
    "agents",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # also the order of their first reports
    _session_column(),
    Column("agent", Uuid, nullable=False),
    Column("status", Text, nullable=False),  # AgentStatus, the last report
    Column("reported_at", UtcDateTime, nullable=False),
    UniqueConstraint("session_id", "agent"),
)

agent_requests = Table(
    "agent_requests",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # their order
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("agent_key", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),  # RequestKind
    Column("exposure_id", Uuid),  # of the agent's journal: the receiver need not know it
    Column("requested_at", UtcDateTime, nullable=False),
    Column("outcome", String(16)),  # RequestOutcome; NULL: not confirmed yet
    Column("reason", Text, nullable=False, default=""),
)

_ADD_EVENT = insert(events)


def now() -> datetime:
    """Return this moment in UTC."""
    return datetime.now(UTC)


def add_event(connection: Connection, session_id: int, kind: str, subject: str, detail: str = "") -> None:
    """Tell those who follow a session what happened, in the transaction that makes it true."""
    values = {"session_id": session_id, "at": now(), "kind": kind, "subject": subject, "detail": detail}
    connection.execute(_ADD_EVENT, values)


class Database:
    """One engine, used from many threads.

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
        """Hand out a connection that sees one moment of the database."""
        with self._reading.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Hand out a connection whose changes are durable, all or none, when the block ends."""
        if self.engine.dialect.name != "sqlite":
            with self.engine.begin() as connection:
                connection.execute(_ONE_WRITER)
                yield connection
            return
        with self._one_writer, self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _parsed(url: str) -> URL:
    """Return a database's URL with the driver that we use; no message tells the URL, which may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadOption(
            "--database is not the URL of a database",
            hint="Write postgresql://USER:PASSWORD@HOST:PORT/NAME, with %xx for characters like @ : / in the password.",
        ) from error
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise BadOption(f"--database: {parsed.get_backend_name()} is not supported; PostgreSQL and SQLite are")
    return parsed


def _pool_options(url: URL) -> dict[str, Any]:
    """Return how connections are kept: SQLite's cost nothing but their making, so every thread finds one ready."""
    if url.get_backend_name() == "sqlite":
        return {"pool_size": SQLITE_CONNECTIONS, "pool_use_lifo": True}
    return {"pool_pre_ping": True}


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
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
    raw.execute("BEGIN")  # touches nothing, so it cannot fail; SQLAlchemy's own way costs more than the statement


def upgrade(database: Database, data: Path) -> None:
    """Bring the schema to this version, one process at a time.

    Raises
    ------
    DatabaseUnavailable
    """
    from alembic import command  # noqa: PLC0415 - half a second that only a start needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    try:
        with file_lock(data / "migration.lock", wait=True), database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise DatabaseUnavailable(f"the receiver's database cannot be used: {error.orig}") from error
