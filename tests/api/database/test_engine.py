from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from api.database.engine import Database
from api.database.tables import events, now, sessions
from api.errors import BadOption


def session_row(name: str) -> dict:
    return {"name": name, "state": "open", "created_at": now()}


def test_sqlite_is_durable_and_strict(database) -> None:
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "truncate", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(events).values(session_id=7, at=now(), kind="x", subject="x"))


def test_a_write_is_all_or_nothing(database) -> None:
    def half() -> None:
        with database.write() as connection:
            connection.execute(insert(sessions).values(session_row("s1")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(sessions)) == 0


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


def test_close_waits_for_a_connection_that_a_thread_still_uses(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.sqlite")
    began, go_on = threading.Event(), threading.Event()

    def read() -> None:
        with database.read():
            began.set()
            go_on.wait(10)

    reading = threading.Thread(target=read)
    reading.start()
    began.wait(10)
    closing = threading.Thread(target=database.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive(), "the connection is in use"
    go_on.set()
    for thread in (reading, closing):
        thread.join(10)
    assert database.engine.pool.checkedin() == 0
