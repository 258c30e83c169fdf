"""Reading committed files, and clients that do not stay until the end."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

from api.http.slow_clients import ClientLimits
from tests.waiting import wait_until

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
    link = socket.create_connection(("127.0.0.1", receiver.port), timeout=60)
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
    wait_until(lambda: not open_descriptors(file), lambda: f"{open_descriptors(file)} descriptors are still open")
    assert wire.http.get("/v1/files/s1/large").content == bytes(8_000_000)


def test_a_committed_file_that_somebody_took_away_is_not_found(receiver, wire) -> None:
    assert wire.put_file("a", b"hello").status_code == 201
    (receiver.data / "sessions/s1/files/a").unlink()
    answer = wire.http.get("/v1/files/s1/a")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_range_of_a_file(receiver, wire, root_digest_of) -> None:
    data = bytes(range(256)) * 8
    assert wire.put_file("a", data).status_code == 201
    etag = f'"{root_digest_of(data)}"'

    def get(**headers: str):
        return wire.http.get(
            "/v1/files/s1/a", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    whole = get()
    assert (whole.status_code, whole.headers["etag"], whole.headers["accept-ranges"]) == (200, etag, "bytes")
    for asked, span in {
        "bytes=0-0": (0, 1),
        "bytes=100-299": (100, 300),
        "bytes=2000-": (2000, 2048),
        "bytes=2000-99999": (2000, 2048),
        "bytes=-5": (2043, 2048),
        "bytes=-99999": (0, 2048),
    }.items():
        part = get(Range=asked, If_Range=etag)
        assert (part.status_code, part.content) == (206, data[slice(*span)]), asked
        assert part.headers["content-range"] == f"bytes {span[0]}-{span[1] - 1}/2048"
    for asked in ("bytes=2048-", "bytes=-0", "bytes=9999-10000"):
        none = get(Range=asked)
        assert (none.status_code, none.headers["content-range"]) == (416, "bytes */2048"), asked
        assert none.json()["type"].endswith("/bad-range")
    for asked in ("bytes=5-2", "bytes=0-1,3-4", "bytes=-", "lines=1-2", "bytes=a-b"):
        assert (get(Range=asked).status_code, get(Range=asked).content) == (200, data), asked
    assert get(Range="bytes=0-0", If_Range='"another"').content == data


def test_what_a_file_is_without_its_bytes(receiver, wire) -> None:
    assert wire.put_file("a", bytes(3_000_000)).status_code == 201
    answer = wire.http.head("/v1/files/s1/a")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "3000000", b"")
    assert answer.headers["etag"] == wire.http.get("/v1/files/s1/a").headers["etag"]
    assert wire.http.head("/v1/files/s1/b").status_code == 404


def test_a_client_that_does_not_read_loses_its_answer(make_receiver, wire_to) -> None:
    receiver = make_receiver(limits=ClientLimits(write_timeout_s=0.2))
    wire = wire_to(receiver)
    assert wire.put_file("large", bytes(8_000_000)).status_code == 201
    link = ask(receiver, wire, "large")
    file = receiver.data.resolve() / "sessions/s1/files/large"
    assert link.recv(1)
    wait_until(lambda: not open_descriptors(file), "the end of the answer that nobody reads")
    link.close()
