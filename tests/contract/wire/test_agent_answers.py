"""What agents report, and what is asked of them: request by request, against a real receiver."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from transfer.client import ReceiverClient
from transfer.wire.agent_status import (
    MAX_STATUS_BYTES,
    AgentList,
    AgentStatus,
    Confirmation,
    KnownAgent,
    RequestOutcome,
)
from transfer.wire.errors import TooLarge
from transfer.wire.problems import PROBLEM_TYPE

STARTED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def slug(answer) -> str:
    return answer.json()["type"].removeprefix(PROBLEM_TYPE)


def status(**more: Any) -> AgentStatus:
    return AgentStatus(**{"host": "scope-3", "version": "0.1", "started_at": STARTED, **more})


@pytest.fixture
def client(receiver):
    """Return a client with an agent's token for session s1, which is started."""
    with ReceiverClient(receiver.url, receiver.token("agent", "s1")) as client:
        client.open_session("s1")
        yield client


@pytest.fixture
def admin(receiver, wire_to):
    """Return a connection with an admin token."""
    return wire_to(receiver, "admin", None).http


def test_the_last_report_is_kept_and_a_reader_sees_it(receiver, client, wire_to) -> None:
    agent, reader = uuid4(), wire_to(receiver, "reader", "s1").http
    assert client.report_status("s1", agent, status()).requests == ()
    full = status(
        counts={"found": 3, "committed": 7},
        queues={"align": 2},
        stage_seconds={"read": 1.5},
        rates={"movies_per_hour": 312.5, "upload_bytes_per_s": 1e8},
        disk={"work_free_bytes": 10**12, "work_reserve_bytes": 5 << 30},
        limits={"upload_bytes_per_s": None, "connections": 8},
        last_error={"at": STARTED, "text": "the share went away"},
        troubles=["the disk is full"],
        paused=True,
    )
    client.report_status("s1", agent, full)
    seen = KnownAgent.model_validate(reader.get(f"/v1/sessions/s1/agents/{agent}").json())
    assert (seen.agent, seen.status, seen.requests) == (agent, full, ())
    other = uuid4()
    client.report_status("s1", other, status(host="scope-4"))
    listed = AgentList.model_validate(reader.get("/v1/sessions/s1/agents").json()).agents
    assert [one.agent for one in listed] == [agent, other]
    assert listed[0] == seen
    assert listed[1].reported_at >= seen.reported_at


def test_a_newer_agent_reports_to_an_older_receiver(wire) -> None:
    body = status().model_dump(mode="json") | {"protocol": 2, "moon": "full"}
    assert wire.http.put(f"/v1/sessions/s1/agents/{uuid4()}", json=body).json()["requests"] == []


def test_requests_are_handed_out_until_they_are_confirmed(client, admin) -> None:
    agent, exposure = uuid4(), uuid4()
    client.report_status("s1", agent, status())
    url = f"/v1/sessions/s1/agents/{agent}/requests"
    retry = admin.post(url, json={"kind": "retry", "exposure_id": str(exposure)})
    assert retry.status_code == 201
    pause = admin.post(url, json={"kind": "pause"})
    assert pause.status_code == 201
    for _ in range(2):
        asked = client.report_status("s1", agent, status()).requests
        assert [(one.kind, one.exposure_id) for one in asked] == [("retry", exposure), ("pause", None)]
    assert [str(one.id) for one in asked] == [retry.json()["id"], pause.json()["id"]]
    done = Confirmation(id=asked[0].id, outcome=RequestOutcome.DONE)
    assert client.report_status("s1", agent, status(confirmed=[done])).requests == asked[1:]
    refused = Confirmation(id=asked[1].id, outcome=RequestOutcome.REFUSED, reason="--no-remote-requests")
    unknown = Confirmation(id=uuid4(), outcome=RequestOutcome.DONE)
    changed = Confirmation(id=asked[0].id, outcome=RequestOutcome.REFUSED)  # the first word holds
    again = status(confirmed=[unknown, refused, changed])
    assert client.report_status("s1", agent, again).requests == ()
    seen = KnownAgent.model_validate(admin.get(f"/v1/sessions/s1/agents/{agent}").json())
    assert [(one.outcome, one.reason) for one in seen.requests] == [("done", ""), ("refused", "--no-remote-requests")]


def test_the_same_request_twice_is_one_but_a_later_change_of_mind_counts(client, admin) -> None:
    agent = uuid4()
    client.report_status("s1", agent, status())
    url = f"/v1/sessions/s1/agents/{agent}/requests"
    answers = [admin.post(url, json={"kind": kind}) for kind in ("pause", "pause", "resume", "pause")]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 201]
    assert answers[1].json() == answers[0].json()
    asked = client.report_status("s1", agent, status()).requests
    assert [one.kind for one in asked] == ["pause", "resume", "pause"]


def test_an_agent_confirms_its_own_requests_alone(client, admin) -> None:
    one, other = uuid4(), uuid4()
    for agent in (one, other):
        client.report_status("s1", agent, status())
    asked = admin.post(f"/v1/sessions/s1/agents/{one}/requests", json={"kind": "pause"}).json()
    stolen = status(confirmed=[Confirmation(id=asked["id"], outcome=RequestOutcome.DONE)])
    assert client.report_status("s1", other, stolen).requests == ()
    assert len(client.report_status("s1", one, status()).requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "delete"},
        {"kind": "retry"},
        {"kind": "pause", "exposure_id": "6f8c3f9a-0000-4000-8000-000000000000"},
        {"kind": "retry", "exposure_id": "7"},
        {"kind": "pause", "lease": 1},
        {},
    ],
    ids=str,
)
def test_other_requests_are_refused(client, admin, body: dict[str, Any]) -> None:
    agent = uuid4()
    client.report_status("s1", agent, status())
    answer = admin.post(f"/v1/sessions/s1/agents/{agent}/requests", json=body)
    assert (answer.status_code, slug(answer)) == (400, "bad-request")
    assert client.report_status("s1", agent, status()).requests == ()


def test_reports_that_are_too_long_or_make_no_sense(client, wire) -> None:
    agent = uuid4()
    url = f"/v1/sessions/s1/agents/{agent}"
    body = status().model_dump_json()
    wire.http.headers["Content-Type"] = "application/json"
    longest = body[:-1] + " " * (MAX_STATUS_BYTES - len(body)) + "}"
    assert wire.http.put(url, content=longest).is_success
    longer = wire.http.put(url, content=longest + " ")
    assert (longer.status_code, slug(longer)) == (413, "too-large")
    assert "16000" in longer.json()["detail"]
    with pytest.raises(TooLarge):
        client.report_status("s1", agent, status(troubles=["x" * MAX_STATUS_BYTES]))
    for wrong in (
        {"host": None},
        {"disk": {"work_free_bytes": -1, "work_reserve_bytes": 0}},
        {"counts": {"found": "x"}},
    ):
        answer = wire.http.put(url, json=status().model_dump(mode="json") | wrong)
        assert (answer.status_code, slug(answer)) == (400, "bad-request"), wrong
    not_finite = body.replace('"movies_per_hour":null', '"movies_per_hour":NaN')
    assert not_finite != body
    assert wire.http.put(url, content=not_finite).status_code == 422
    assert wire.http.put("/v1/sessions/s1/agents/not-a-uuid", content=body).status_code == 400


def test_who_and_where(receiver, client, wire, wire_to, admin) -> None:
    agent, body = uuid4(), status().model_dump(mode="json")
    client.report_status("s1", agent, status())
    url = f"/v1/sessions/s1/agents/{agent}"
    reader, other = wire_to(receiver, "reader", "s1").http, wire_to(receiver, "reader", "s2").http
    assert slug(reader.put(url, json=body)) == "scope-rejected"
    assert slug(other.get(url)) == "scope-rejected"
    assert slug(wire.http.put(f"/v1/sessions/s2/agents/{agent}", json=body)) == "scope-rejected"
    for asking in (reader, wire.http):
        assert slug(asking.post(f"{url}/requests", json={"kind": "pause"})) == "scope-rejected"
    for method, path, json in (
        ("GET", f"/v1/sessions/s1/agents/{uuid4()}", None),
        ("POST", f"/v1/sessions/s1/agents/{uuid4()}/requests", {"kind": "pause"}),
        ("PUT", f"/v1/sessions/none/agents/{agent}", body),
        ("GET", "/v1/sessions/none/agents", None),
    ):
        answer = admin.request(method, path, json=json)
        assert (answer.status_code, slug(answer)) == (404, "not-found"), (method, path)
