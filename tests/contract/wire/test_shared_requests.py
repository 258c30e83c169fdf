"""Neighbouring chunks share a request where the receiver is near, guarded by the digests of all of them."""

from __future__ import annotations

import os
from typing import cast
from uuid import uuid4

import pytest

from transfer.client import ReceiverClient
from transfer.connections.contract import Connection, Put, SendCallbacks
from transfer.pace.congestion import CongestionLimits
from transfer.pace.pacer import pacer_of
from transfer.upload.file_to_send import FileToSend
from transfer.upload.grouping import GroupingLimits
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES, split
from transfer.wire.digest import CHUNKED, chunk_digest, format_content_digest, root_digest

CHUNKS = 10
SIZE = CHUNKS * CHUNK_BYTES - 5


MOST_CHUNKS = GroupingLimits().most_chunks
FAST = GroupingLimits(least_bytes_per_s=1)
"""The first bytes are enough to call the link fast."""
FAR = CongestionLimits(long_round_trip_s=0.0)
"""Every receiver counts as far away."""


class NotingConnection:
    """A connection that notes the part of the file that each request carries."""

    def __init__(self, connection: Connection, parts: list[range]) -> None:
        self._connection, self._parts = connection, parts

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def send(self, put: Put, callbacks: SendCallbacks) -> None:
        self._parts.append(put.part)
        self._connection.send(put, callbacks)


class NotingClient(ReceiverClient):
    """A client whose connections note what they send."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self.parts: list[range] = []

    def new_connection(self) -> Connection:
        return cast("Connection", NotingConnection(super().new_connection(), self.parts))


def send(receiver, folder, *, connections: int, limit: str = "unlimited", congestion_limits=None) -> list[range]:
    """Send a file and check that it arrived unchanged; return its parts, one for each request."""
    file = folder / "x.mrc"
    file.write_bytes(os.urandom(SIZE))
    limits = {"congestion_limits": congestion_limits, "grouping_limits": FAST}
    with (
        NotingClient(receiver.url, receiver.token()) as client,
        Sender(client, connections=connections, pacer=pacer_of(limit), **limits) as sender,
    ):
        client.open_session("s1")
        progress: list[int] = []
        sender.send(FileToSend(file, "s1", "x.mrc"), on_progress=progress.append)
        assert sum(progress) == sender.sent_bytes == SIZE
    assert (receiver.data / "sessions/s1/files/x.mrc").read_bytes() == file.read_bytes()
    return client.parts


def chunks_in(part: range) -> int:
    return -(-len(part) // CHUNK_BYTES)


def test_if_the_receiver_is_near_and_the_link_fast_neighbours_share_requests(receiver, tmp_path) -> None:
    parts = send(receiver, tmp_path, connections=1)
    assert [chunks_in(part) for part in parts] == [1, MOST_CHUNKS, MOST_CHUNKS, 1]
    assert sum(map(len, parts)) == SIZE


def test_while_connections_are_idle_nothing_is_shared(receiver, tmp_path) -> None:
    parts = send(receiver, tmp_path, connections=CHUNKS)
    assert sorted(parts, key=lambda part: part.start) == split(SIZE)


@pytest.mark.parametrize("options", [{"congestion_limits": FAR}, {"limit": "10GB/s"}], ids=["far", "capped"])
def test_otherwise_a_request_stays_one_chunk(receiver, tmp_path, options) -> None:
    parts = send(receiver, tmp_path, connections=1, **options)
    assert sorted(parts, key=lambda part: part.start) == split(SIZE)


def test_one_wrong_byte_leaves_none_of_the_chunks_present(receiver, wire, root_digest_of) -> None:
    data, upload = os.urandom(2 * CHUNK_BYTES + 5), uuid4()
    wire.declare(upload, "x", len(data))
    digests = [chunk_digest(data[part.start : part.stop]) for part in split(len(data))]
    headers = {
        "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}",
        "Content-Digest": format_content_digest(CHUNKED, bytes.fromhex(root_digest(digests))),
    }
    for flipped in (0, CHUNK_BYTES, len(data) - 1):
        bad = bytearray(data)
        bad[flipped] ^= 1
        answer = wire.http.put(f"/v1/uploads/{upload}/content", content=bytes(bad), headers=headers)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "chunk-corrupt")
        missing = wire.http.get(f"/v1/uploads/{upload}/ranges").json()["missing"]
        assert missing == [{"first": 0, "last": len(data) - 1}]
    assert wire.http.put(f"/v1/uploads/{upload}/content", content=data, headers=headers).status_code == 204
    assert wire.commit(upload, root_digest_of(data)).status_code == 201
