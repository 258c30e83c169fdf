"""The schema: what the migrations make is what the code says, on SQLite and, by its statements, on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, func, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from api.database.engine import Database, events, metadata, now, sessions, upgrade
from api.errors import BadOption
from api.store.upload_book import UploadBook


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    upgrade(database, tmp_path)
    yield database
    database.close()


def session_row(name: str) -> dict:
    return {"name": name, "state": "open", "created_at": now()}


def test_the_migrations_make_what_the_code_says(database, tmp_path) -> None:
    upgrade(database, tmp_path)  # repeatable
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_postgresql_understands_every_table() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_sqlite_is_durable_and_strict(database) -> None:
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "truncate", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(events).values(session_id=7, at=now(), kind="x", subject="x"))


def test_unfinished_uploads_are_found_by_their_index(database) -> None:
    asked = []
    event.listen(database.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    assert UploadBook(database, "run").untouched_since(now()) == []
    statement, parameters = asked[-1]
    with database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "ix_uploads_unfinished" in str(plan)


def test_a_write_is_all_or_nothing(database) -> None:
    def half() -> None:
        with database.write() as connection:
            connection.execute(insert(sessions).values(session_row("s1")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(sessions)) == 0


def test_moments_are_aware(database) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
    with database.write() as connection:
        connection.execute(insert(sessions).values(name="s1", state="open", created_at=moment))
    with database.read() as connection:
        assert connection.scalar(select(sessions.c.created_at)) == moment


def test_many_writers_of_two_engines_never_meet_a_locked_database(database, tmp_path) -> None:
    other = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    ready = threading.Barrier(6)

    def write(number: int) -> None:
        ready.wait()
        for turn in range(10):
            with (database, other)[number % 2].write() as connection:
                count = connection.scalar(select(func.count()).select_from(sessions))
                connection.execute(insert(sessions).values(session_row(f"{number}-{turn}-{count}")))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    other.close()
    with database.read() as connection:
        counts = [int(name.rsplit("-", 1)[1]) for name in connection.scalars(select(sessions.c.name))]
    assert sorted(counts) == list(range(60))


def test_a_database_that_cannot_be_used_is_named() -> None:
    for url in ("nonsense", "oracle9://host/x", "mysql+mysqldb://host/x"):
        with pytest.raises(BadOption, match="--database"):
            Database(url)
