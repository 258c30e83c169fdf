"""What a client without a token can make the receiver read, keep and hold open."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import httpx
import psutil
import pytest

from tests.api.http.raw_requests import answers_to, status_of
from tests.waiting import wait_until

FOREVER_BYTES = 64 << 20
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
PUT = b"PUT /v1/files/s1/x HTTP/1.1\r\nHost: x\r\n"
BLOCK = 64 << 10

ENDLESS = {
    "trailers": (GET + CHUNKED + b"\r\n0\r\n", b"X-Trailer: " + b"x" * 1000 + b"\r\n"),
    "one trailer": (GET + CHUNKED + b"\r\n0\r\nX-Trailer: ", b"x" * BLOCK),
    "the name of a trailer": (GET + CHUNKED + b"\r\n0\r\n", b"x" * BLOCK),
    "one chunk's extension": (GET + CHUNKED + b"\r\n1;", b"x" * BLOCK),
    "extensions": (GET + CHUNKED + b"\r\n", b"1;" + b"x" * 1000 + b"\r\na\r\n"),
    "zeros of a chunk's size": (GET + CHUNKED + b"\r\n", b"0" * BLOCK),
    "chunks of a byte": (GET + CHUNKED + b"\r\n", b"1\r\na\r\n" * 1000),
    "chunks": (GET + CHUNKED + b"\r\n", b"10000\r\n" + b"x" * (64 << 10) + b"\r\n"),
    "the body of a GET": (GET + b"Content-Length: 9999999999\r\n\r\n", b"x" * BLOCK),
    "a file without token": (PUT + b"Content-Length: 9999999999\r\n\r\n", b"x" * BLOCK),
    "a chunked file without token": (PUT + CHUNKED + b"\r\n", b"10000\r\n" + b"x" * (64 << 10) + b"\r\n"),
    "a field": (GET + b"X-Field: ", b"x" * BLOCK),
    "fields": (GET, b"X-Field: x\r\n" * 1000),
    "a target": (b"GET /", b"x" * BLOCK),
    "a method": (b"", b"X" * BLOCK),
    "empty lines": (b"", b"\r\n" * 1000),
    "requests": (b"", (GET + b"\r\n") * 100),
    "requests for files": (b"", (PUT + b"Content-Length: 1\r\n\r\nx") * 100),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_bytes_without_end_end_with_their_connection(make_receiver, kind) -> None:
    beginning, rest = ENDLESS[kind]
    receiver = make_receiver(requests_without_token_per_s=5.0)
    sent_bytes = 0
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as link:
        link.sendall(beginning)
        link.setblocking(False)
        deadline = time.monotonic() + 60
        with contextlib.suppress(ConnectionError):
            while sent_bytes < FOREVER_BYTES and time.monotonic() < deadline:
                try:
                    sent_bytes += link.send(rest)
                except BlockingIOError:
                    with contextlib.suppress(BlockingIOError):
                        if not link.recv(1 << 20):
                            break
                    time.sleep(0.001)
    assert sent_bytes < FOREVER_BYTES  # what the kernel keeps is a few MiB of it
    wait_until(lambda: receiver.app.state.front.connections.count == 0, "the end of the connection")


@pytest.mark.parametrize("body", ["Content-Length: 4194304", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer cf_x", "Bearer cf_" + "a" * 8 + "_" + "b" * 43, "Basic eDp4"])
def test_no_route_reads_a_body_before_it_knows_the_token(shared_receiver, wire_to, body, content_type, token) -> None:
    wire_to(shared_receiver)  # a valid token of this address, so that its wrong tokens are looked at
    shared_receiver.app.state.front.requests.note_valid("127.0.0.1", "any")
    described = shared_receiver.app.openapi()["paths"]
    asked = 0
    for path, operations in described.items():
        for method, operation in operations.items():
            if not operation["security"]:
                continue
            fields = [f"{method.upper()} {path.format_map(Filled())} HTTP/1.1", "Host: x", body, "Connection: close"]
            fields += [f"Content-Type: {content_type}"] * bool(content_type) + [f"Authorization: {token}"] * bool(token)
            # The head alone is sent: whoever waits for the body does not answer.
            answer = answers_to(shared_receiver.port, ("\r\n".join(fields) + "\r\n\r\n").encode(), half_close=False)
            assert status_of(answer) in (401, 429), (method, path, answer)
            asked += 1
    assert asked >= 25


class Filled(dict):
    def __missing__(self, name: str) -> str:
        return "00000000-0000-4000-8000-000000000000" if name.endswith("_id") or name == "agent" else "s1"


def test_above_the_rate_of_its_address_a_client_without_token_is_told_when_to_come_back(make_receiver, wire_to) -> None:
    receiver = make_receiver(requests_without_token_per_s=1.0)
    with httpx.Client(base_url=receiver.url, trust_env=False) as client:
        answers = [client.get("/v1/sessions") for _ in range(15)]
        assert {answer.status_code for answer in answers[:10]} == {401}
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert answers[-1].json()["type"].endswith("/rate-limited")
    wire = wire_to(receiver)  # the rest of its institution
    assert wire.put_file("a", b"x").status_code == 201


def test_behind_a_proxy_the_address_that_it_forwards_counts_and_no_token_is_refused_for_others(make_receiver) -> None:
    """As nginx forwards them: it adds the client's address at the end of what the client has written there."""
    receiver = make_receiver(behind_proxy=True, requests_without_token_per_s=1.0)
    with httpx.Client(base_url=receiver.url, trust_env=False) as client:

        def ask(address: str, token: str | None) -> int:
            headers = {"X-Forwarded-For": f"198.51.100.9, {address}"}
            headers |= {"Authorization": f"Bearer {token}"} if token else {}
            return client.get("/v1/sessions", headers=headers).status_code

        institution, elsewhere, known = "203.0.113.7", "203.0.113.8", receiver.token("reader", None)
        assert ask(institution, known) == 200
        assert 429 in {ask(institution, None) for _ in range(30)}
        wrong = f"cf_{'a' * 8}_{'b' * 43}"
        assert {ask(elsewhere, wrong) for _ in range(30)} == {401, 429}
        assert ask(institution, known) == 200
        assert ask(institution, receiver.token("reader", None)) == 200  # another microscope behind the same address
        assert ask(elsewhere, known) == 200  # the token counts first
        assert ask("203.0.113.9", None) == 401


def test_with_256_descriptors_idle_connections_stop_no_upload(receiver_process, wire_to) -> None:
    receiver_process.prefix = ("bash", "-c", 'ulimit -n 256; exec "$@"', "-")
    receiver_process.start()
    wire = wire_to(receiver_process)
    process = psutil.Process(receiver_process.process.pid)
    idle = []
    try:
        for _ in range(5):
            idle += [socket.create_connection(("127.0.0.1", receiver_process.port), timeout=60) for _ in range(100)]
            assert process.num_fds() < 200
            fresh = wire_to(receiver_process)  # connections of its own
            assert fresh.put_file(str(len(idle)), os.urandom(100_000)).status_code == 201
        assert wire.put_file("last", b"x").status_code == 201
    finally:
        for link in idle:
            link.close()


def test_a_lack_of_descriptors_delays_connections_and_ends_nothing(receiver_process, wire_to) -> None:
    receiver_process.prefix = ("bash", "-c", 'ulimit -n 100; exec "$@"', "-")
    receiver_process.options = ("--max-connections", "1000")
    receiver_process.start()
    links = [socket.create_connection(("127.0.0.1", receiver_process.port), timeout=60) for _ in range(150)]
    process = psutil.Process(receiver_process.process.pid)
    wait_until(lambda: process.num_fds() >= 99, "the lack of descriptors")
    for link in links:
        link.close()
    wire = wire_to(receiver_process)
    assert wire.put_file("a", b"x").status_code == 201
    assert receiver_process.stop() == 0
    log = receiver_process.log.read_text()
    assert "connections that waited for a free descriptor" in log
    assert len(log) < 10_000


def test_malformed_requests_do_not_fill_the_log(receiver_process) -> None:
    receiver_process.start()
    for number in range(300):
        answers_to(receiver_process.port, b"\0nonsense %d\r\n\r\n" % number)
    receiver_process.stop()
    assert len(receiver_process.log.read_text()) < 5_000
