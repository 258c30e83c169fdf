"""Permissions are declared at every route, and checked before a request's body is read."""

from __future__ import annotations

import socket
from uuid import uuid4

import pytest
from fastapi import APIRouter, FastAPI

from api.access.guard import GuardedRoute, PermissionMissing, include_guarded, permits
from api.access.permissions import Permission
from api.app import ROUTERS

ANSWER_TIMEOUT_S = 20  # less than the receiver waits for a body
BODY_TIMEOUT_S = 120.0


def test_a_route_without_a_permission_cannot_be_defined() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(PermissionMissing, match="/forgotten"):

        @router.get("/forgotten")
        def forgotten() -> None:
            pass

    with pytest.raises(PermissionMissing, match="/twice"):

        @router.get("/twice", dependencies=[permits(Permission.PUBLIC), permits(Permission.READ)])
        def twice() -> None:
            pass


def test_a_router_of_other_routes_cannot_be_included() -> None:
    router = APIRouter()

    @router.get("/open")
    def unguarded() -> None:
        pass

    app = FastAPI()
    before = len(app.routes)
    with pytest.raises(PermissionMissing, match="/open"):
        include_guarded(app, router)
    assert len(app.routes) == before


def first_answer(port: int, head: str, body: bytes = b"") -> bytes:
    """Send a request's head, and perhaps some of its body; return the beginning of the first answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S) as link:
        link.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            block = link.recv(65536)
            assert block, answer
            answer += block
    return answer


def with_bodies() -> list[tuple[str, str]]:
    """Return the method and path of every route that takes a body."""
    return [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, GuardedRoute) and (route.body_field is not None or route.permit.is_bulk)
        for method in route.methods
    ]


@pytest.fixture(params=["socket", "stream"])
def patient_receiver(request, make_receiver):
    """Return a receiver that waits for a body far longer than the tests wait for an answer."""
    return make_receiver(data_plane=request.param, body_timeout_s=BODY_TIMEOUT_S)


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"], ids=["sends", "asks first"])
def test_a_refusal_comes_before_the_body(patient_receiver, wire_to, expect: str) -> None:
    wire, upload = wire_to(patient_receiver), uuid4()
    wire.declare(upload, "x", 1 << 30)
    known = {"session": "s1", "path:path": "f", "upload_id": str(upload)}
    tokens = {
        401: None,
        403: patient_receiver.token("reader", "s1"),
    }
    asked = with_bodies()
    assert len(asked) == 13, asked
    for method, route in asked:
        path = route
        for name in ("session", "path:path", "upload_id", "agent", "exposure_id", "figure", "side"):
            path = path.replace(f"{{{name}}}", known.get(name, str(uuid4())))
        for status, token in tokens.items():
            if status == 403 and path.endswith("/verifications"):
                continue  # a reader may have its session's files read again
            authorization = f"Authorization: Bearer {token}\r\n" if token else ""
            for size_bytes in (1000, 1 << 30):
                head = (
                    f"{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}{expect}"
                    f"Content-Type: application/json\r\nContent-Length: {size_bytes}\r\n\r\n"
                )
                for sent in (b"", b"{" * 500):
                    answer = first_answer(patient_receiver.port, head, sent)
                    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), (method, route, answer)


def test_so_does_that_of_another_sessions_token(patient_receiver, wire_to) -> None:
    wire, upload = wire_to(patient_receiver), uuid4()
    wire.declare(upload, "x", 1 << 30)
    token = patient_receiver.token("agent", "s2")
    for path, status in ((f"/v1/uploads/{upload}/content", 404), ("/v1/files/s1/f", 403)):
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {1 << 30}\r\n"
            f"Content-Range: bytes 0-{(1 << 30) - 1}/{1 << 30}\r\nContent-Digest: blake3=:{'A' * 43}=:\r\n\r\n"
        )
        answer = first_answer(patient_receiver.port, head, bytes(1000))
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), (path, answer)


def test_a_permitted_request_waits_for_its_body(patient_receiver, wire_to) -> None:
    """The other tests would pass if nothing were ever read."""
    token = patient_receiver.token("agent", "s1")
    wire_to(patient_receiver)
    body = b'{"session": "s1", "path": "y", "size_bytes": 5}'
    head = (
        f"PUT /v1/uploads/{uuid4()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", patient_receiver.port), timeout=0.3) as link:
        link.sendall(head.encode() + body[:10])
        with pytest.raises(TimeoutError):
            link.recv(100)
        link.settimeout(ANSWER_TIMEOUT_S)
        link.sendall(body[10:])
        assert link.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_a_body_that_is_too_long_is_refused_by_its_announced_length(patient_receiver, wire_to) -> None:
    token = patient_receiver.token("agent", "s1")
    wire_to(patient_receiver)
    head = (
        f"PUT /v1/sessions/s1/agents/{uuid4()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 16001\r\n\r\n"
    )
    assert first_answer(patient_receiver.port, head).startswith(b"HTTP/1.1 413 ")
