"""What `/readyz` shows: to everybody that it works or not, to tokens for all sessions how near its limits are."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.http.refusals import RefusalCounts
from tests.records import record_of_files
from tests.waiting import wait_until
from transfer.wire.protocol import ReceiverReadiness


def readiness(wire: Any) -> ReceiverReadiness:
    return ReceiverReadiness.model_validate(wire.http.get("/readyz").raise_for_status().json())


@pytest.mark.parametrize("kind", [None, "reader of s1", "agent of s1", "garbage", "revoked"])
def test_without_a_token_for_all_sessions_it_says_only_whether_each_part_works(receiver, wire, kind) -> None:
    wire.declare(uuid4(), "x", 1000)
    headers = {"Authorization": "Bearer cf_aaaaaaaa_" + "b" * 43} if kind in ("garbage", "revoked") else {}
    if kind and " of " in kind:
        headers = {"Authorization": f"Bearer {receiver.token(*kind.split(' of '))}"}
    del wire.http.headers["Authorization"]
    answer = wire.http.get("/readyz", headers=headers)
    assert answer.status_code == 200
    assert set(answer.json()) == {"ok", "checks"}
    assert not any(character.isdigit() for character in answer.text)


@pytest.mark.parametrize("scope", ["reader", "agent", "admin"])
def test_a_token_for_all_sessions_sees_the_limits(receiver, wire, wire_to, scope: str) -> None:
    wire.declare(uuid4(), "x", 1000)
    assert wire.http.put("/v1/sessions/other").status_code == 403
    operator = wire_to(receiver, scope, None)
    assert operator.http.get("/v1/service").is_success  # so that it is connected
    with socket.create_connection(("127.0.0.1", receiver.port)):
        wait_until(lambda: receiver.app.state.front.connections.count == 3, "the idle connection")
        seen = readiness(operator)
    assert seen.registrars_in_trouble == ()
    limits, front = seen.limits, receiver.app.state.front
    assert limits is not None
    assert (limits.connections.count, limits.connections.limit) == (3, front.connections.limits.most)
    assert limits.connections_without_token.count == 1
    assert limits.connections_without_token.limit == front.connections.limits.most_without_token
    assert 3 < limits.open_files.count < limits.open_files.limit
    assert (limits.open_uploads, limits.promised_bytes) == (1, 1000)
    assert limits.free_bytes > 0
    assert limits.refused_in_last_minute == {"requests that their token does not permit (403)": 1}


def test_a_registrar_in_trouble_is_named_with_its_reason(receiver, wire, wire_to) -> None:
    exposure = uuid4()
    receipt = wire.put_file("x.mrc", b"no micrograph").json()
    in_the_way = receiver.data / "sessions" / "s1" / "relion"
    in_the_way.write_text("not a folder")
    record = record_of_files(exposure, [receipt])
    assert wire.http.put(f"/v1/sessions/s1/exposures/{exposure}", json=record).status_code == 201
    operator = wire_to(receiver, "reader", None)
    (trouble,) = wait_until(lambda: readiness(operator).registrars_in_trouble, "the registrar's trouble")
    assert (trouble.registrar, trouble.session) == ("relion", "s1")
    assert wire.http.get("/v1/sessions/s1").json()["waiting"] == [trouble.model_dump(mode="json")]
    assert str(in_the_way) in trouble.reason
    assert timedelta() <= datetime.now(UTC) - trouble.since < timedelta(minutes=1)
    public = wire.http.get("/readyz")
    assert public.json()["checks"]["registrar relion"].startswith("it waits")
    assert str(receiver.data) not in public.text


def test_refusals_of_the_last_minute() -> None:
    moment = 1000.0
    counts = RefusalCounts(lambda: moment)
    counts.note("one")
    moment += 30
    counts.note("one")
    counts.note("two")
    assert counts.in_last_minute() == {"one": 2, "two": 1}
    counts.log_and_reset()
    assert counts.in_last_minute() == {"one": 2, "two": 1}
    moment += 40
    assert counts.in_last_minute() == {"one": 1, "two": 1}
    moment += 60
    assert counts.in_last_minute() == {}
    for _ in range(1000):
        moment += 10
        counts.note("one")
    assert counts.in_last_minute() == {"one": 6}
    assert counts.in_all() == {"one": 1002, "two": 1}
