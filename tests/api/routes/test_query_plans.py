"""Every list finds its page by an index: the statements that really run are explained."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import event, text

from api.database.engine import Database
from api.registrars.outbox import Outbox
from api.registrars.settings import RegistrarSettings
from api.registrars.verdict_outbox import VerdictOutbox
from api.store.free_stem import free_stem
from api.store.judging import judge_next
from api.store.publication import publish
from api.store.taken_names import free_path, take_path, take_stem
from api.store.thresholds import set_threshold
from tests.conftest import make_token
from tests.published import add_file, record_of
from transfer.wire.errors import NameDiffersInCase
from transfer.wire.verdict import Side, StartingThreshold

LARGE = (
    "exposures",
    "exposure_records",
    "registrations",
    "files",
    "events",
    "uploads",
    "names",
    "exposure_figures",
    "verdicts",
)
"""Tables that grow with every exposure."""
ABOVE_NOTHING = StartingThreshold("motion_total_angstrom", Side.ABOVE, 0.0)
OF_REQUESTS = "AnyIO worker thread"
ROUTES = {
    "sessions": "/v1/sessions",
    "session": "/v1/sessions/s1",
    "exposures": "/v1/sessions/s1/exposures?limit=5&after=3",
    "exposure": f"/v1/sessions/s1/exposures/{record_of(3).exposure_id}",
    "events": "/v1/sessions/s1/events?limit=5&after=3",
    "files": "/v1/sessions/s1/files?limit=5&after=b/3",
    "file": "/v1/files/s1/a.mrc",
}


@contextmanager
def explained(database: Database, thread: str = "MainThread") -> Iterator[list[str]]:
    """Collect what SQLite plans for each statement that threads of this name run in the block."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if threading.current_thread().name.startswith(thread):
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    steps: list[str] = []
    yield steps
    event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as connection:
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                steps += [f"{row.detail}  <- {statement}" for row in plan]


def expensive(steps: list[str]) -> list[str]:
    """Return the steps that read all of a large table, read all of a session, or sort."""
    return [
        step
        for step in steps
        if step.startswith(tuple(f"SCAN {table} " for table in LARGE))
        or "USE TEMP B-TREE" in step
        or "AUTOMATIC" in step
        or "MATERIALIZE" in step
    ]


@pytest.fixture
def receiver(make_receiver: Callable[..., Any]) -> Any:
    """Return a receiver with a session of ten exposures, and files beside them."""
    receiver = make_receiver(registrars=RegistrarSettings(relion=False))
    httpx.put(f"{receiver.url}/v1/sessions/s1", headers=bearer(receiver)).raise_for_status()
    httpx.put(f"{receiver.url}/v1/files/s1/a.mrc", content=b"a", headers=bearer(receiver)).raise_for_status()
    with receiver.app.state.receiver.database.write() as connection:
        connection.execute(text("UPDATE files SET digest = :digest"), {"digest": "0" * 64})
        for number in range(10):
            publish(connection, ["relion"], 1, record_of(number))
            add_file(connection, 1, f"b/{number}")
    return receiver


def bearer(receiver: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token(receiver.data, 'admin')}"}


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_reads_no_more_than_its_page(receiver: Any, route: str) -> None:
    headers = bearer(receiver)
    with explained(receiver.app.state.receiver.database, OF_REQUESTS) as steps:
        httpx.get(receiver.url + ROUTES[route], headers=headers).raise_for_status()
    assert steps
    assert expensive(steps) == []
    on_index = {"exposures": "(session_id=? AND id>?)", "events": "(session_id=? AND id>?)", "files": "AND path>?"}
    assert any(on_index.get(route, "") in step for step in steps), steps


def test_the_outbox_reads_no_more_than_what_is_left(receiver: Any, tmp_path: Path) -> None:
    database = receiver.app.state.receiver.database
    outbox = Outbox(database, tmp_path, "relion")
    with explained(database) as steps:
        outbox.batches(5, [1, 2])
        outbox.open_projects()
        outbox.note_closed(1)
    assert expensive(steps) == []
    assert sum("ix_registrations_unregistered" in step for step in steps) == 2


def test_the_outbox_for_verdicts_reads_no_more_than_what_is_left(receiver: Any, tmp_path: Path) -> None:
    database = receiver.app.state.receiver.database
    with database.write() as connection:
        set_threshold(connection, 1, ABOVE_NOTHING, "abcdefgh")
    judge_next(database, 1)
    outbox = VerdictOutbox(database, tmp_path, "relion")
    with explained(database) as steps:
        (batch,) = outbox.batches()
        outbox.note_told(batch)
    assert len(batch.verdicts) == 10
    assert [step for step in expensive(steps) if not step.startswith("SCAN untold_verdicts USING COVERING")] == []


def test_judging_looks_at_each_exposure_by_its_key(receiver: Any) -> None:
    database = receiver.app.state.receiver.database
    with database.write() as connection:
        set_threshold(connection, 1, ABOVE_NOTHING, "abcdefgh")
    with explained(database) as steps:
        judge_next(database, 1)
    assert expensive(steps) == []
    assert [step for step in steps if step.startswith("SCAN ")] == []
    assert any("SEARCH exposure_figures USING PRIMARY KEY (exposure=? AND name=?)" in step for step in steps), steps


def test_a_publication_reads_only_the_files_that_it_names(receiver: Any) -> None:
    database = receiver.app.state.receiver.database
    with explained(database) as steps, database.write() as connection:
        publish(connection, ["relion"], 1, record_of(99))
    assert [step for step in expensive(steps) if "USE TEMP B-TREE" not in step] == [], "it sorts a few rows"
    assert any("files USING INDEX" in step and "(session_id=? AND path=?" in step for step in steps), steps
    whole_sessions = [step for step in steps if step.split(" <- ")[0].rstrip().endswith("(session_id=?)")]
    assert [step for step in whole_sessions if not step.startswith(("SEARCH projects ", "SEARCH thresholds "))] == []


def test_a_name_is_looked_for_by_what_names_like_it_have_in_common(receiver: Any) -> None:
    database = receiver.app.state.receiver.database
    with explained(database) as steps, database.write() as connection:
        for path in ("d/e/x", "d/e/y"):
            take_path(connection, 1, path)
        with pytest.raises(NameDiffersInCase):
            take_path(connection, 1, "D/e/z")
        assert free_stem(connection, 1, "D/e/f/x", (), UUID(int=1)) == "d/e/f/x"
        take_stem(connection, 1, "d/e/f/x")
        free_path(connection, 1, "d/e/y")
    assert expensive(steps) == []
    looks = [step for step in steps if step.startswith(("SEARCH names ", "SEARCH same ", "SEARCH above "))]
    assert len(looks) > 5
    below = [step for step in looks if "folder=? AND leaf=?" not in step]
    assert ["(session_id=? AND folder=?)" in step for step in below] == [True] * len(below), below


def test_the_guard_sees_a_scan(receiver: Any) -> None:
    database = receiver.app.state.receiver.database
    with explained(database) as steps, database.read() as connection:
        connection.execute(text("SELECT count(*) FROM registrations WHERE state = 'registered'"))
        connection.execute(text("SELECT * FROM exposures WHERE session_id = 1 ORDER BY revision"))
    assert len(expensive(steps)) == 2
