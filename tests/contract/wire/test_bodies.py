"""Bodies of files on the wire: in pieces, pipelined, announced, broken off, slow; the same over both data planes."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from uuid import uuid4

import pytest

from api.http.slow_clients import ClientLimits
from tests.waiting import wait_until
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest, format_content_digest

SIZE = 700_000


class Link:
    """A connection that sends requests byte by byte as a test says."""

    def __init__(self, receiver, wire) -> None:
        self.socket = socket.create_connection(("127.0.0.1", receiver.port), timeout=60)
        self.authorization = wire.http.headers["Authorization"]
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def head(self, path: str, size: int, *more: str) -> bytes:
        lines = [f"PUT /v1/files/s1/{path} HTTP/1.1", "Host: x", f"Authorization: {self.authorization}", *more]
        return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode()

    def answer(self) -> int:
        """Return the status of the next answer, read to its end; 0: the connection was closed."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                return 0
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(self.rest) < length:
            assert self._more()
        self.rest = self.rest[length:]
        return int(head.split()[1])

    def closed(self) -> bool:
        return not self.rest and not self._more()

    def _more(self) -> bool:
        try:
            block = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.rest += block
        return bool(block)


@pytest.fixture
def link(receiver, wire):
    with Link(receiver, wire) as link:
        yield link


def stored(receiver, path: str) -> bytes:
    return (receiver.data / "sessions/s1/files" / path).read_bytes()


def test_requests_one_after_the_other_on_one_connection_however_they_are_cut(link, receiver) -> None:
    contents = {f"f{n}": os.urandom(size) for n, size in enumerate([SIZE, 1, 0, 300_000, SIZE])}
    wire = b"".join(link.head(path, len(data)) + data for path, data in contents.items())

    def send() -> None:  # all of it, before any answer is read
        for start in range(0, len(wire), 99_991):
            link.socket.sendall(wire[start : start + 99_991])

    sending = threading.Thread(target=send)
    sending.start()
    assert [link.answer() for _ in contents] == [201] * len(contents)
    sending.join()
    assert {path: stored(receiver, path) for path in contents} == contents


def test_the_next_head_in_the_same_packet_as_a_bodys_end(link, receiver) -> None:
    one, two = os.urandom(SIZE), os.urandom(5)
    link.socket.sendall(link.head("one", len(one)) + one[:100])
    time.sleep(0.05)
    link.socket.sendall(one[100:] + link.head("two", len(two)) + two[:2])
    assert link.answer() == 201
    link.socket.sendall(two[2:])
    assert link.answer() == 201
    assert (stored(receiver, "one"), stored(receiver, "two")) == (one, two)


def test_a_body_is_asked_for_when_its_client_waits_for_that(link, receiver) -> None:
    data = os.urandom(SIZE)
    link.socket.sendall(link.head("a", len(data), "Expect: 100-continue"))
    assert link.answer() == 100
    link.socket.sendall(data)
    assert link.answer() == 201
    assert stored(receiver, "a") == data


def test_a_refused_body_is_drained_and_the_connection_goes_on(link, receiver) -> None:
    data = os.urandom(SIZE)
    link.socket.sendall(link.head("../up", len(data)) + data)
    assert link.answer() in (404, 422)
    link.socket.sendall(link.head("b", len(data), "Content-Digest: blake3=:no:") + data)
    assert link.answer() == 400
    link.socket.sendall(link.head("c", len(data)) + data)
    assert link.answer() == 201
    assert stored(receiver, "c") == data


def test_a_disk_that_fails_in_the_middle_of_a_body(link, receiver, monkeypatch) -> None:
    data, real, calls = os.urandom(3_000_000), os.pwrite, []

    def failing(fd: int, block: bytes, offset: int) -> int:
        calls.append(offset)
        if offset > 1_000_000:
            raise OSError(5, "Input/output error")
        return real(fd, block, offset)

    monkeypatch.setattr("transfer.disk.files.os.pwrite", failing)
    link.socket.sendall(link.head("a", len(data)) + data)
    assert link.answer() == 500
    assert calls
    monkeypatch.undo()
    link.socket.sendall(link.head("b", 5) + b"hello")
    assert link.answer() == 201
    assert not (receiver.data / "sessions/s1/files/a").exists()


def test_a_client_that_leaves_in_the_middle(receiver, wire) -> None:
    data = os.urandom(CHUNK_BYTES)
    for sent in (10, 500_000, len(data) - 1):
        with Link(receiver, wire) as link:
            link.socket.sendall(link.head("a", len(data)) + data[:sent])
    wait_until(lambda: wire.put_file("a", data).status_code not in (409, 503), "the name a, given up by the others")
    assert stored(receiver, "a") == data


def test_a_byte_now_and_then_buys_no_time(make_receiver, wire_to) -> None:
    receiver = make_receiver(body_timeout_s=0.5)
    wire = wire_to(receiver)
    upload = uuid4()
    wire.declare(upload, "x", SIZE)
    with Link(receiver, wire) as link:
        link.socket.sendall(link.head("a", SIZE))
        with pytest.raises(ConnectionError):  # noqa: PT012 - whichever of the bytes is refused first
            while True:
                link.socket.sendall(b"x")
                time.sleep(0.05)
        assert b"client-stalled" in link.rest or link.answer() in (408, 0)
    assert wire.put_file("a", bytes(10)).status_code == 201


def test_a_head_that_never_ends_is_cut_off_in_time_and_in_size(make_receiver, wire_to) -> None:
    limits = ClientLimits(head_timeout_s=0.3)
    receiver = make_receiver(limits=limits)
    wire = wire_to(receiver)
    with Link(receiver, wire) as idle, Link(receiver, wire) as slow, Link(receiver, wire) as long:
        slow.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        long.socket.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * (limits.max_head_bytes + 1))
        assert wire.http.get("/healthz").status_code == 200
        assert long.answer() == 431
        assert slow.closed()
        assert idle.closed()


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: -1",
        "Content-Length: 5x",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "No colon",
        "Two\r lines: 1",
    ],
)
def test_what_is_no_http_is_refused_by_a_problem_and_nothing_of_it_taken(link, receiver, fields) -> None:
    head = link.head("a", 5).decode().replace("Content-Length: 5", fields)
    link.socket.sendall(head.encode() + b"hello")
    told = b""
    while block := link.socket.recv(65536):
        told += block  # until the receiver closes
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["type"].endswith("/bad-request")
    assert not (receiver.data / "sessions/s1").exists()


def test_more_bodies_at_once_than_threads_and_requests_in_between(receiver, wire) -> None:
    threads = receiver.app.state.receiver.intake.threads.turns.count
    contents = {f"f{n}": os.urandom(SIZE) for n in range(threads + 4)}
    links = {path: Link(receiver, wire) for path in contents}
    for path, data in contents.items():
        links[path].socket.sendall(links[path].head(path, len(data)) + data[: SIZE // 2])
    assert wire.http.get("/v1/service").status_code == 200  # nobody waits for those
    for path in reversed(contents):
        links[path].socket.sendall(contents[path][SIZE // 2 :])
        assert links[path].answer() == 201
        links[path].socket.close()
    assert {path: stored(receiver, path) for path in contents} == contents


def test_a_chunked_body_of_a_part(receiver, wire, root_digest_of) -> None:
    data, upload = os.urandom(SIZE), uuid4()
    wire.declare(upload, "x", len(data))
    headers = {
        "Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}",
        "Content-Digest": format_content_digest("blake3", chunk_digest(data)),
    }
    pieces = (data[start : start + 100_000] for start in range(0, SIZE, 100_000))
    answer = wire.http.put(f"/v1/uploads/{upload}/content", content=pieces, headers=headers)
    assert answer.status_code == 204, answer.text
    assert wire.commit(upload, root_digest_of(data)).status_code == 201


def test_a_part_of_a_file_is_not_taken_for_the_file(receiver, wire) -> None:
    """What `curl -C 3 -T FILE`, `curl -r 0-4 -T FILE` and `curl -T -` send."""
    for content_range in ("bytes 3-7/8", "bytes 0-4/8", "bytes 0-4/*", "bytes 0-3/4"):
        answer = wire.put_file("a", b"hello", **{"Content-Range": content_range})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "bad-request"), content_range
    assert wire.http.put("/v1/files/s1/a", content=iter([b"hel", b"lo"])).status_code == 400
    assert not (receiver.data / "sessions/s1").exists()
    assert wire.put_file("a", b"hello", **{"Content-Range": "bytes 0-4/5"}).status_code == 201
