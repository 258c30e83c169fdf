"""Changes that share a transaction: each is made once, or not at all, and its caller learns which."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from api.database.engine import Database
from api.database.grouped_writes import GroupedWrites
from api.database.migrate import upgrade
from api.database.tables import now, sessions
from transfer.wire.errors import NameTaken

COUNT = 12


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'receiver.sqlite'}")
    upgrade(database, tmp_path)
    yield database
    database.close()


def made(database) -> list[str]:
    with database.read() as connection:
        return sorted(connection.scalars(select(sessions.c.name)))


def adding(name: str, error: Exception | None = None):
    def change(connection) -> str:
        connection.execute(insert(sessions).values(name=name, state="open", created_at=now()))
        if error:
            raise error
        return name

    return change


def gathered(grouped, changes):
    """Make changes that all wait while another one is being made; return results or errors, in their order."""
    begun, go = threading.Event(), threading.Event()

    def first(_connection) -> None:
        begun.set()
        assert go.wait(10)

    def outcome(change):
        try:
            return grouped.write(change)
        except (NameTaken, IntegrityError, OperationalError) as error:
            return type(error)

    with ThreadPoolExecutor(len(changes) + 1) as pool:
        leading = pool.submit(grouped.write, first)
        assert begun.wait(10)
        rest = [pool.submit(outcome, change) for change in changes]
        while len(grouped._waiting) < len(changes):
            threading.Event().wait(0.001)
        go.set()
        leading.result()
        return [one.result() for one in rest]


def test_changes_that_wait_are_one_commit_and_a_failure_stays_its_own(database) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    names = [f"s{n:02}" for n in range(COUNT)]
    wrong = [adding("refused", NameTaken("no")), adding("s00x"), adding("s00x")]
    outcomes = gathered(GroupedWrites(database), [adding(name) for name in names] + wrong)
    assert outcomes[:COUNT] == names
    assert outcomes[COUNT] is NameTaken
    assert sorted(map(str, outcomes[COUNT + 1 :])) == sorted(["s00x", str(IntegrityError)])
    assert len(commits) == 2  # the first's, and one for all that waited for it
    assert made(database) == sorted([*names, "s00x"])


def test_nobody_is_told_of_success_when_the_database_fails(database) -> None:
    """SQLite may take back the whole transaction when one statement finds the disk full."""
    full = OperationalError("INSERT", {}, Exception("database or disk is full"))
    outcomes = gathered(GroupedWrites(database), [adding("a"), adding("b", full), adding("c")])
    assert outcomes == [OperationalError] * 3
    assert made(database) == []


@pytest.mark.parametrize("kind", [OperationalError, IntegrityError])  # the latter may be one change's own refusal
def test_nobody_is_told_of_success_when_the_commit_fails(database, kind) -> None:
    grouped = GroupedWrites(database)
    remaining = [1]

    def fail(_connection) -> None:
        if not remaining:
            raise kind("COMMIT", {}, Exception("disk I/O error"))
        remaining.pop()

    event.listen(database.engine, "commit", fail)
    assert gathered(grouped, [adding("a"), adding("b")]) == [kind] * 2
    event.remove(database.engine, "commit", fail)
    assert made(database) == []
    assert grouped.write(adding("later")) == "later"
