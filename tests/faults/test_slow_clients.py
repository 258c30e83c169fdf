"""Clients that trickle, or say nothing: cut off, with bounded memory, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import psutil
import pytest

from api.http.slow_clients import ClientLimits
from tests.waiting import wait_until

SLOW_CLIENTS = 200
HELD_BYTES = 256 << 10  # of its body each of them has sent
ANNOUNCED_BYTES = 4 << 20
MOST_MEMORY_BYTES = 200 << 20

pytestmark = pytest.mark.parametrize("data_plane", ["socket", "stream"])


def head(request: str, token: str, *fields: str) -> bytes:
    """Return a request's head."""
    return "\r\n".join([f"{request} HTTP/1.1", "Host: x", f"Authorization: {token}", *fields, "", ""]).encode()


def beginnings(token: str) -> dict[str, Callable[[int], bytes]]:
    """Return what slow clients send before they become slow, by kind; called with their number."""
    length = f"Content-Length: {ANNOUNCED_BYTES}"
    return {
        "a head": lambda _: b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "a file": lambda number: head(f"PUT /v1/files/s1/slow{number}", token, length) + bytes(HELD_BYTES),
        "a record": lambda _: head(f"PUT /v1/sessions/s1/exposures/{uuid4()}", token, length) + bytes(30_000),
        "nothing": lambda _: b"",
    }


class Slow:
    """A number of slow clients; those of `trickling` kinds send a byte now and then until they are cut off."""

    def __init__(self, port: int, token: str, count: int, *, trickling: bool) -> None:
        begin = list(beginnings(token).items())
        self.links = []
        for number in range(count):
            kind, beginning = begin[number % len(begin)]
            link = socket.create_connection(("127.0.0.1", port), timeout=60)
            link.sendall(beginning(number))
            self.links.append((kind, link))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._trickle) if trickling else None

    def __enter__(self) -> Slow:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()
        for _, link in self.links:
            link.close()

    def _trickle(self) -> None:
        while not self._over.wait(0.05):
            for kind, link in self.links:
                if kind != "nothing":
                    with contextlib.suppress(OSError):  # cut off
                        link.send(b"x")

    def answers(self) -> Iterator[tuple[str, bytes]]:
        """Yield what each was told until its connection ended."""
        for kind, link in self.links:
            told = b""
            with contextlib.suppress(ConnectionError):
                while block := link.recv(65536):
                    told += block
            yield kind, told


def test_whoever_trickles_is_cut_off_and_others_go_on_meanwhile(make_receiver, wire_to) -> None:
    receiver = make_receiver(body_timeout_s=2.0, limits=ClientLimits(head_timeout_s=2.0))
    wire = wire_to(receiver)
    contents = {f"fast{number}": os.urandom(300_000) for number in range(5)}
    with Slow(receiver.port, wire.http.headers["Authorization"], 60, trickling=True) as slow:
        for name, data in contents.items():
            assert wire.put_file(name, data).status_code == 201
        told = list(slow.answers())
    files = receiver.data / "sessions/s1/files"
    assert {path.name: path.read_bytes() for path in files.iterdir()} == contents
    for kind, answer in told:
        if kind in ("a file", "a record"):
            # Those whose bytes came after the end may find the connection reset, and the answer lost with it.
            assert answer[:13] in (b"HTTP/1.1 408 ", b""), (kind, answer)
        else:
            assert answer == b"", kind
    assert [answer for _, answer in told if b"client-stalled" in answer]


def test_many_silent_clients_take_bounded_memory_and_stop_nobody(receiver_process, wire_to) -> None:
    receiver_process.is_copied = False
    receiver_process.start()
    wire = wire_to(receiver_process)
    assert wire.put_file("first", os.urandom(ANNOUNCED_BYTES)).status_code == 201
    memory = psutil.Process(receiver_process.process.pid).memory_info
    before_bytes = memory().rss
    with Slow(receiver_process.port, wire.http.headers["Authorization"], SLOW_CLIENTS, trickling=False):
        # All of them are being served: each file has its part file.
        incoming = receiver_process.data / "incoming"
        wait_until(lambda: len(list(incoming.iterdir())) >= SLOW_CLIENTS // 4, "the part files of the slow clients")
        for number in range(5):
            assert wire.put_file(f"fast{number}", os.urandom(ANNOUNCED_BYTES)).status_code == 201
        grown_bytes = memory().rss - before_bytes
    print(f"{grown_bytes / 2**20:.0f} MiB for {SLOW_CLIENTS} slow clients")  # noqa: T201 - for the curious
    assert grown_bytes < MOST_MEMORY_BYTES
    assert {path.name for path in (receiver_process.data / "sessions/s1/files").iterdir()} == {
        "first",
        *(f"fast{number}" for number in range(5)),
    }
