"""Reading committed files, and clients that do not stay until the end."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def open_descriptors(file: Path) -> int:
    """Return how many descriptors of this process, which is the receiver's too, are open for a file."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            count += descriptor.readlink() == file
        except FileNotFoundError:  # closed meanwhile
            continue
    return count


def ask(receiver, wire, path: str) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", receiver.port), timeout=10)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    head = f"GET /v1/files/s1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.http.headers['Authorization']}\r\n\r\n"
    link.sendall(head.encode())
    return link


def test_no_descriptor_stays_open_whenever_the_client_leaves(receiver, wire) -> None:
    assert wire.put_file("large", bytes(8_000_000)).status_code == 201
    file = receiver.data.resolve() / "sessions/s1/files/large"
    for turn in range(30):
        link = ask(receiver, wire, "large")
        if turn % 3 == 0:
            link.recv(1)  # the body is on its way
        elif turn % 3 == 1:
            time.sleep(0.002 * turn)  # somewhere before or after its first block
        link.close()
    with wire.http.stream("GET", "/v1/files/s1/large") as answer:
        assert answer.is_success  # left by the client library, too
    deadline = time.monotonic() + 10
    while open_descriptors(file):
        assert time.monotonic() < deadline, f"{open_descriptors(file)} descriptors are still open"
        time.sleep(0.01)
    assert wire.http.get("/v1/files/s1/large").content == bytes(8_000_000)


def test_a_committed_file_that_somebody_took_away_is_not_found(receiver, wire) -> None:
    assert wire.put_file("a", b"hello").status_code == 201
    (receiver.data / "sessions/s1/files/a").unlink()
    answer = wire.http.get("/v1/files/s1/a")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
