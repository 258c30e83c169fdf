"""The counters of exposures and registrations equal a fresh count, whatever happened before, on both databases."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from api.database.engine import Database
from api.database.tables import exposures, registration_counts, registrations, sessions
from api.registrars import RegistrationOutcome
from api.registrars.outbox import Outbox, PendingBatch
from api.store.publication import publish
from tests.published import database_with_sessions, record_of
from transfer.wire.protocol import RegistrationState

SESSIONS, REGISTRARS = (1, 2), ("relion", "scipion")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database with two sessions, each with one committed file."""
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").emptied_database()
    database = database_with_sessions(url, tmp_path, len(SESSIONS))
    yield database
    database.close()


def kept(database: Database) -> tuple[dict[int, int], dict[tuple[int, str], tuple[int, int, int]]]:
    with database.read() as connection:
        counts = connection.execute(select(registration_counts)).all()
        published = connection.execute(select(sessions.c.id, sessions.c.exposure_count)).all()
    found = {
        (row.session_id, row.registrar): (row.registered_count, row.pending_count, row.failed_count) for row in counts
    }
    return {row.id: row.exposure_count for row in published}, found


def counted_anew(database: Database) -> tuple[dict[int, int], dict[tuple[int, str], tuple[int, int, int]]]:
    with database.read() as connection:
        rows = connection.execute(
            select(exposures.c.session_id, exposures.c.id, exposures.c.revision.label("newest"), registrations)
            .join_from(registrations, exposures)
            .order_by(registrations.c.id)
        ).all()
        published = {
            number: connection.scalar(select(func.count()).where(exposures.c.session_id == number))
            for number in SESSIONS
        }
    found = {}
    for key in {(row.session_id, row.registrar) for row in rows}:
        own = [row for row in rows if (row.session_id, row.registrar) == key]
        found[key] = (
            len({row.exposure for row in own if row.state == "registered"}),
            sum(row.state == "pending" for row in own if row.revision == row.newest),
            sum(row.state == "failed" for row in own if row.revision == row.newest),
        )
        assert all(row.state in ("registered", "superseded") for row in own if row.revision < row.newest)
    return published, found


def settle_some(outbox: Outbox, batch: PendingBatch, chance: random.Random) -> None:
    outcomes = {
        exposure.number: RegistrationOutcome(chance.choice(list(RegistrationState))) for exposure in batch.exposures
    }
    outbox.settle(batch, outcomes)


@pytest.mark.parametrize("seed", [1, 2])
def test_counters_equal_a_fresh_count_after_every_step(database: Database, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    outboxes = [Outbox(database, tmp_path, registrar) for registrar in REGISTRARS]
    newest: dict[tuple[int, int], int] = {}
    held: list[tuple[Outbox, PendingBatch]] = []  # what a registrar works on while other things happen
    seen: set[Any] = set()
    for step in range(80):
        session, number = chance.choice(SESSIONS), chance.randrange(6)
        action = chance.choice(["publish", "repeat", "batch", "settle", "settle"])
        if action in ("publish", "repeat"):
            revision = max(1, newest.get((session, number), 0) + (action == "publish"))
            with database.write() as connection:
                publish(connection, chance.choice([REGISTRARS, REGISTRARS[:1]]), session, record_of(number, revision))
            newest[session, number] = revision
        elif action == "batch":
            outbox = chance.choice(outboxes)
            held += [(outbox, batch) for batch in outbox.batches(4, without=())]
        elif held:
            settle_some(*held.pop(chance.randrange(len(held))), chance)
        assert kept(database) == counted_anew(database), f"step {step}: {action}"
        seen |= {
            (name, bool(value))
            for counts in kept(database)[1].values()
            for name, value in zip("rpf", counts, strict=True)
        }
    assert seen == {(name, value) for name in "rpf" for value in (False, True)}


def test_a_revision_that_was_replaced_while_it_was_being_registered(database: Database, tmp_path: Path) -> None:
    outbox = Outbox(database, tmp_path, "relion")

    def publish_one(number: int, revision: int) -> None:
        with database.write() as connection:
            publish(connection, ["relion"], 1, record_of(number, revision))

    for number in (1, 2):
        publish_one(number, 1)
    (batch,) = outbox.batches(10, without=())
    for number in (1, 2):
        publish_one(number, 2)
    first, second = (exposure.number for exposure in batch.exposures)
    results = {first: RegistrationState.REGISTERED, second: RegistrationState.FAILED}
    outbox.settle(batch, {number: RegistrationOutcome(state) for number, state in results.items()})
    assert kept(database)[1] == {(1, "relion"): (1, 2, 0)}
    (batch,) = outbox.batches(10, without=())
    assert [exposure.record.revision for exposure in batch.exposures] == [2, 2]
