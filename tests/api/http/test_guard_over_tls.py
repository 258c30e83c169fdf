"""Over TLS the guard is the same: while a handshake, a head, a body or the reading of an answer takes too long."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest
import trustme

from api.http import accepting
from api.http.slow_clients import ClientLimits
from tests.api.http.raw_requests import status_of
from tests.api.http.test_hostile_heads import REFUSED
from tests.waiting import wait_until

LIMITS = ClientLimits(head_timeout_s=1.0, write_timeout_s=1.0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(make_receiver, authority, tmp_path, monkeypatch):
    """Return a receiver that does TLS, and waits a second for a handshake, a head and a reader."""
    monkeypatch.setattr(accepting, "HANDSHAKE_TIMEOUT_S", 1.0)
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(cert, append=number > 0)
    issued.private_key_pem.write_to_path(key)
    return make_receiver(tls=(cert, key), limits=LIMITS, body_timeout_s=1.0, max_connections=40)


@pytest.fixture
def trusting(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextlib.contextmanager
def connected(receiver, trusting: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as link,
    ):
        yield link


def read_all(link: socket.socket) -> bytes:
    told = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while block := link.recv(65536):
            told += block
    return told


def open_connections(receiver) -> int:
    return receiver.app.state.front.connections.count


def status(receiver, trusting) -> int:
    with httpx.Client(verify=trusting, trust_env=False, timeout=60) as client:
        return client.get(f"{receiver.url}/healthz").status_code


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_handshake_that_does_not_end_is_ended(secure, trusting, sent) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as link:
        link.sendall(sent)
        assert b"HTTP/1.1" not in read_all(link)
    wait_until(lambda: open_connections(secure) == 0, "the place of the connection")
    assert status(secure, trusting) == 200


def test_any_number_of_handshakes_leaves_place_for_others(secure, trusting) -> None:
    links = [socket.create_connection(("127.0.0.1", secure.port), timeout=60) for _ in range(200)]
    try:
        assert status(secure, trusting) == 200
        assert open_connections(secure) <= 40
    finally:
        for link in links:
            link.close()


def test_a_head_that_does_not_end_is_cut_off(secure, trusting) -> None:
    with connected(secure, trusting) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert read_all(link) == b""
    assert secure.app.state.refusals.in_all() == {"clients that were too slow with a request": 1}


def test_a_body_that_does_not_end_is_answered_408(secure, trusting) -> None:
    with connected(secure, trusting) as link:
        head = f"PUT /v1/sessions/s1/agents/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secure.token()}\r\n"
        link.sendall(f"{head}Content-Length: 100\r\n\r\n".encode())
        assert read_all(link).startswith(b"HTTP/1.1 408 ")


def test_whoever_does_not_read_an_answer_loses_the_connection(secure, trusting) -> None:
    token = {"Authorization": f"Bearer {secure.token('agent', 's1')}"}
    with httpx.Client(verify=trusting, trust_env=False, base_url=secure.url, headers=token, timeout=60) as client:
        assert client.put("/v1/sessions/s1").status_code == 201
        assert client.put("/v1/files/s1/large", content=os.urandom(32 << 20)).status_code == 201
    wait_until(lambda: open_connections(secure) == 0, "the end of the first connection")
    with connected(secure, trusting) as link:
        head = f"GET /v1/files/s1/large HTTP/1.1\r\nHost: x\r\nAuthorization: {token['Authorization']}\r\n\r\n"
        link.sendall(head.encode())
        wait_until(lambda: open_connections(secure) == 1, "the connection")
        wait_until(lambda: open_connections(secure) == 0, "the end of the connection")
    assert secure.app.state.refusals.in_all() == {"clients that did not read their answer": 1}


def test_trailers_are_bounded(secure, trusting) -> None:
    with connected(secure, trusting) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                link.sendall(b"X-Trailer: " + b"x" * 10_000 + b"\r\n")
        read_all(link)
    wait_until(lambda: open_connections(secure) == 0, "the end of the connection")


def test_every_hostile_head_is_refused_as_in_clear_text(secure, trusting) -> None:
    for kind, (sent, expected) in REFUSED.items():
        with connected(secure, trusting) as link:
            link.sendall(sent)
            status = status_of(read_all(link))
        assert status in (expected if isinstance(expected, tuple) else (expected,)), kind
