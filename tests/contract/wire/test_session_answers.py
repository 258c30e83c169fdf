"""Sessions, exposures, events, tokens: request by request, against a real receiver."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from api.routes.sessions import SESSION_BYTES
from tests.records import record_of_files
from transfer.client import ReceiverClient
from transfer.wire.problems import PROBLEM_TYPE
from transfer.wire.protocol import Exposure, ExposureList, Session, SessionList

DIGEST = "0" * 64


def slug(answer) -> str:
    return answer.json()["type"].removeprefix(PROBLEM_TYPE)


@pytest.fixture
def publish(wire):
    """Return a function that publishes an exposure of session s1."""

    def publish(body: dict[str, Any], exposure_id: Any = None) -> Any:
        return wire.http.put(f"/v1/sessions/s1/exposures/{exposure_id or body['exposure_id']}", json=body)

    return publish


def test_a_session_is_started_ended_and_reopened(wire) -> None:
    started = wire.http.put("/v1/sessions/s1")
    assert started.status_code == 200  # the fixture has started it
    session = Session.model_validate(started.json())
    assert (session.name, session.state, session.exposure_count, session.closed) == ("s1", "open", 0, False)
    assert wire.http.get("/v1/sessions").json() == {"sessions": [started.json()], "next": None}
    for _ in range(2):
        ended = Session.model_validate(wire.http.post("/v1/sessions/s1/end").json())
        assert (ended.state, ended.closed) == ("ended", True)
    assert wire.put_file("late", b"late data is never lost").status_code == 201
    for _ in range(2):
        assert wire.http.post("/v1/sessions/s1/reopen").json()["state"] == "open"
    kinds = [event["kind"] for event in wire.http.get("/v1/sessions/s1/events").json()["events"]]
    assert kinds == ["session-started", "session-ended", "file-committed", "session-reopened"]


def test_events_continue_after_the_last_known(wire) -> None:
    for number in range(3):
        wire.put_file(f"f{number}", b"x")
    events = wire.http.get("/v1/sessions/s1/events").json()["events"]
    later = wire.http.get("/v1/sessions/s1/events", params={"after": events[1]["number"], "limit": 1}).json()["events"]
    assert later == [events[2]]


def test_sessions_come_in_pages(receiver, wire_to, monkeypatch) -> None:
    admin, there = wire_to(receiver, "admin", None).http, ["s1", *(f"s{number}" for number in range(2, 8))]
    for name in there[1:]:
        assert admin.put(f"/v1/sessions/{name}").status_code == 201

    def page(**params: Any) -> tuple[list[str], str | None]:
        told = SessionList.model_validate(admin.get("/v1/sessions", params=params).json())
        return [one.name for one in told.sessions], told.next

    (first, after), (all_at_once, none) = page(after=0, limit=3), page(after=0)
    assert (first, all_at_once, none) == (there[:3], there, None)
    rest, none = page(after=after, limit=4)
    assert (rest, none) == (there[3:], None)
    assert page(limit=3) == (there[-3:], None)  # an older client asks for no page: it sees the newest
    monkeypatch.setattr("api.routes.sessions.PAGE_BYTES", 2 * SESSION_BYTES)
    assert page(after=0)[0] == there[:2]
    with ReceiverClient(receiver.url, receiver.token("reader")) as client:
        assert [one.name for one in client.sessions()] == there
    with ReceiverClient(receiver.url, receiver.token("reader", "s3")) as client:
        assert [one.name for one in client.sessions()] == ["s3"]


def test_a_token_begins_so_many_sessions(receiver, wire_to, monkeypatch) -> None:
    monkeypatch.setattr("api.routes.sessions.MAX_SESSIONS", 2)
    one, other = (wire_to(receiver, "admin", None).http for _ in range(2))  # the first has begun s1
    assert [one.put(f"/v1/sessions/{name}").status_code for name in ("s2", "s3", "s2")] == [201, 409, 200]
    assert slug(one.put("/v1/sessions/s3")) == "limit-reached"
    assert [other.put(f"/v1/sessions/{name}").status_code for name in ("s3", "s4", "s5")] == [201, 201, 409]


def test_files_come_in_pages(wire) -> None:
    for name in "cab":
        wire.put_file(f"f/{name}", name.encode())
    first = wire.http.get("/v1/sessions/s1/files", params={"limit": 2}).json()
    assert ([file["path"] for file in first["files"]], first["next"]) == (["f/a", "f/b"], "f/b")
    rest = wire.http.get("/v1/sessions/s1/files", params={"after": first["next"]}).json()
    assert ([file["path"] for file in rest["files"]], rest["next"]) == (["f/c"], None)


def test_an_exposure_is_published_once(wire, publish) -> None:
    receipts = [wire.put_file(name, name.encode()).json() for name in ("x.mrc", "x.json")]
    body = record_of_files(uuid4(), receipts)
    made = publish(body)
    assert made.status_code == 201, made.text
    exposure = Exposure.model_validate(made.json())
    assert exposure.micrograph_name == "x.mrc"
    assert [(word.registrar, word.state) for word in exposure.registrations] == [("relion", "pending")]
    again = publish(body)
    assert again.status_code == 200
    assert again.json()["record"] == made.json()["record"]
    different = {**body, "micrograph_pixel_size_angstrom": 0.9}
    conflict = publish(different)
    assert (conflict.status_code, slug(conflict)) == (409, "exposure-conflict")
    assert slug(publish({**different, "revision": 3})) == "exposure-conflict"
    assert publish({**different, "revision": 2}).status_code == 201
    assert publish(body).status_code == 200  # the older record, sent again by an agent that lost the answer
    read = Exposure.model_validate(wire.http.get(f"/v1/sessions/s1/exposures/{body['exposure_id']}").json())
    assert (read.record.revision, read.micrograph_name) == (2, "x.mrc")
    assert wire.http.get("/v1/sessions/s1").json()["exposure_count"] == 1
    kinds = [event["kind"] for event in wire.http.get("/v1/sessions/s1/events").json()["events"]]
    assert kinds.count("exposure-published") == 2


def test_every_file_of_an_exposure_is_committed_exactly_so(wire, publish) -> None:
    receipt = wire.put_file("x.mrc", b"x").json()
    for wrong in ({"digest": DIGEST}, {"path": "y.mrc"}, {"revision": 2}, {"size_bytes": 2}):
        answer = publish(record_of_files(uuid4(), [receipt, {**receipt, **wrong}]))
        assert (answer.status_code, slug(answer)) == (409, "files-missing")
        (missing,) = answer.json()["files"]
        assert missing == {
            "path": wrong.get("path", "x.mrc"),
            "revision": wrong.get("revision", 1),
        }
    assert wire.http.get("/v1/sessions/s1/exposures").json()["exposures"] == []


def test_two_exposures_of_one_label_have_two_names(wire, publish) -> None:
    receipt = wire.put_file("x.mrc", b"x").json()
    first, second, third = (record_of_files(uuid4(), [receipt], label=label) for label in ("a b", "a b", "../é\n;x"))
    names = [publish(body).json()["micrograph_name"] for body in (first, second, third)]
    assert names == ["a_b.mrc", f"a_b_{UUID(second['exposure_id']).hex[:8]}.mrc", "_._é__x.mrc"]
    later = publish({**second, "revision": 2, "label": "other"})
    assert later.json()["micrograph_name"] == names[1]


def test_exposures_come_in_pages_in_their_order(wire, publish) -> None:
    receipt = wire.put_file("x.mrc", b"x").json()
    ids = [uuid4() for _ in range(3)]
    for exposure_id in ids:
        assert publish(record_of_files(exposure_id, [receipt])).status_code == 201
    first = ExposureList.model_validate(wire.http.get("/v1/sessions/s1/exposures", params={"limit": 2}).json())
    assert first.next is not None
    rest = ExposureList.model_validate(wire.http.get("/v1/sessions/s1/exposures", params={"after": first.next}).json())
    assert [exposure.record.exposure_id for exposure in (*first.exposures, *rest.exposures)] == ids
    assert rest.next is None


def test_records_that_make_no_sense(wire, publish) -> None:
    receipt = wire.put_file("x.mrc", b"x").json()
    body = record_of_files(uuid4(), [receipt])
    assert slug(publish(body, uuid4())) == "bad-request"
    assert slug(publish({**body, "label": 1})) == "bad-request"
    assert slug(publish({**body, "revision": 2})) == "exposure-conflict"
    assert slug(wire.http.get(f"/v1/sessions/s1/exposures/{uuid4()}")) == "not-found"


def test_sessions_that_are_not_or_must_not_be(receiver, wire_to) -> None:
    admin = wire_to(receiver, "admin", None).http
    for method, tail in (("GET", ""), ("POST", "/end"), ("POST", "/reopen"), ("GET", "/files"), ("GET", "/events")):
        assert slug(admin.request(method, f"/v1/sessions/none{tail}")) == "not-found"
        assert slug(admin.request(method, f"/v1/sessions/.bad{tail}")) == "bad-name"
    assert slug(admin.put("/v1/sessions/a b")) == "bad-name"
    assert slug(admin.put("/v1/files/none/x", content=b"x")) == "not-found"


def test_nobody_without_a_token(wire) -> None:
    del wire.http.headers["Authorization"]
    wrong = f"cf_{'a' * 8}_{'b' * 43}"
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": f"Bearer {wrong}"}):
        for method, path in (
            ("GET", "/v1/sessions"),
            ("PUT", "/v1/sessions/s1"),
            ("GET", "/v1/service"),
            ("PUT", f"/v1/uploads/{uuid4()}"),
            ("PUT", f"/v1/uploads/{uuid4()}/content"),
            ("PUT", "/v1/files/s1/x"),
        ):
            answer = wire.http.request(method, path, headers=headers, json={} if method == "PUT" else None)
            assert (answer.status_code, slug(answer)) == (401, "auth-rejected"), (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert wire.http.get("/healthz").json()["ok"]
    ready = wire.http.get("/readyz").json()
    assert ready["checks"].pop("files") in ("checking", "ok")  # depending on how far the check at the start is
    checks = ("database", "disk", "space", "registrars", "registrar relion", "exposures")
    assert ready == {"ok": True, "checks": dict.fromkeys(checks, "ok")}


def test_what_each_scope_permits(receiver, wire, wire_to) -> None:
    upload = uuid4()
    wire.declare(upload, "x", 5)
    reader = wire_to(receiver, "reader", "s1").http
    assert reader.get("/v1/sessions/s1").is_success
    assert reader.get(f"/v1/uploads/{upload}").is_success
    for method, path in (
        ("PUT", "/v1/sessions/s1"),
        ("POST", "/v1/sessions/s1/end"),
        ("PUT", "/v1/files/s1/x"),
        ("DELETE", f"/v1/uploads/{upload}"),
    ):
        assert slug(reader.request(method, path, content=b"x" if "files" in path else None)) == "scope-rejected"

    admin = wire_to(receiver, "admin", None)
    assert admin.http.put("/v1/sessions/s2").status_code == 201
    assert [one["name"] for one in admin.http.get("/v1/sessions").json()["sessions"]] == ["s1", "s2"]
    assert [one["name"] for one in wire.http.get("/v1/sessions").json()["sessions"]] == ["s1"]
    for path in ("", "/files", "/events", "/exposures"):
        assert slug(wire.http.get(f"/v1/sessions/s2{path}")) == "scope-rejected"
    assert slug(wire.http.put("/v1/files/s2/x", content=b"x")) == "scope-rejected"
    other = uuid4()
    assert admin.declare(other, "y", 5, session="s2").status_code == 201
    assert slug(wire.put(other, b"hello", 0, 5)) == "not-found"
    assert admin.http.delete(f"/v1/uploads/{other}").status_code == 204
    assert slug(wire.http.get(f"/v1/uploads/{other}")) == "not-found"
