"""What happens in a session is one line of the receiver's log, whatever clients call themselves."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from api.http.event_lines import AT_ONCE
from api.store.deletion import delete_exposure
from tests.records import record_of_files
from transfer.terminal.log_lines import PrintableFormatter
from transfer.wire.printable import printable

ONE, TWO = UUID(int=1), UUID(int=2)
NASTY = "scope\x1b[2J\n\u202eh' (token admin)"


def report(http: Any, agent: UUID, lease: str = "single", host: str = "scope-3") -> None:
    body = {"host": host, "version": "0.1", "started_at": "2026-05-04T00:00:00Z", "lease": lease}
    assert http.put(f"/v1/sessions/s1/agents/{agent}", json=body).status_code == 200


def post(http: Any, what: str) -> None:
    assert http.post(f"/v1/sessions/s1/{what}").status_code == 200


def nothing(_http: Any) -> None: ...


def end(http: Any) -> None:
    post(http, "end")


def first_report(http: Any) -> None:
    report(http, ONE)


def both_report(http: Any) -> None:
    report(http, ONE)
    report(http, TWO, host="scope-4")


EVENTS: dict[str, tuple[Callable[[Any], object], Callable[[Any], object], str]] = {
    "end": (nothing, end, "ended"),
    "reopen": (end, lambda http: post(http, "reopen"), "reopened"),
    "first report": (nothing, first_report, f"agent {ONE} on 'scope-3' reported for the first time"),
    "take over": (
        both_report,
        lambda http: report(http, TWO, "take-over", "scope-4"),
        f"agent {TWO} on 'scope-4' took the lease over from {ONE} on 'scope-3'",
    ),
    "release": (first_report, lambda http: report(http, ONE, "release"), f"agent {ONE} on 'scope-3' has ended"),
}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns what was logged since the last call, as it stands in the log."""
    caplog.set_level(logging.INFO)
    formatter = PrintableFormatter("%(message)s")

    def logged() -> list[str]:
        found = [formatter.format(record) for record in caplog.records if record.name.startswith("api.")]
        caplog.clear()
        return [line for line in found if not line.startswith("looked at")]

    return logged


def test_a_session_that_is_begun(receiver, wire_to, lines) -> None:
    wire = wire_to(receiver)
    assert wire.http.put("/v1/sessions/s1").status_code == 200  # it exists
    assert re.fullmatch(r"session s1: begun \(token [a-z0-9]{8}\)", "|".join(lines()))


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_one_line_and_asked_again_none(wire, lines, event: str) -> None:
    before, act, expected = EVENTS[event]
    before(wire.http)
    lines()
    act(wire.http)
    act(wire.http)
    (line,) = lines()
    assert re.fullmatch(rf"session s1: {re.escape(expected)} \(token [a-z0-9]{{8}}\)", line)


def test_a_name_from_outside_stays_inside_its_quotation_marks(wire, lines) -> None:
    lines()
    report(wire.http, ONE, host=NASTY)
    (line,) = lines()
    assert printable(line) == line
    assert f"on {NASTY!r} reported" in line


def test_a_deleted_exposure(receiver, wire, lines) -> None:
    receipt = wire.put_file("x.mrc", b"x").json()
    record = record_of_files(ONE, [receipt])
    assert wire.http.put(f"/v1/sessions/s1/exposures/{ONE}", json=record).status_code == 201
    lines()
    inside = receiver.app.state.receiver
    for _ in range(2):
        delete_exposure(inside.database, inside.storage, "s1", ONE, "asked\nfor")
    assert lines() == [f"session s1: exposure {ONE} was deleted on purpose: 'asked\\nfor'"]


def test_one_token_cannot_fill_the_log(receiver, wire, wire_to, lines) -> None:
    lines()
    for _ in range(AT_ONCE):
        post(wire.http, "end")
        post(wire.http, "reopen")
    assert len(lines()) == AT_ONCE - 1  # the session's begin was one
    (counted,) = receiver.app.state.refusals.in_all().items()
    assert counted == ("lines left out of the log, because there were too many of their cause", AT_ONCE + 1)
    post(wire_to(receiver).http, "end")
    assert len(lines()) == 1  # of another token
