"""Neighbouring chunks share a request where the receiver is near, guarded by the digests of all of them."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

import transfer.upload.one_file
from transfer.client import ReceiverClient
from transfer.connections.requests import put_chunks
from transfer.pace.pacing import pacer_of
from transfer.upload.scheduler import MOST_AT_ONCE
from transfer.upload.sender import FileToSend, Sender
from transfer.wire.chunks import CHUNK_BYTES, split
from transfer.wire.digest import CHUNKED, chunk_digest, format_content_digest, root_digest

CHUNKS = 10
SIZE = CHUNKS * CHUNK_BYTES - 5


@pytest.fixture
def parts(monkeypatch) -> list[range]:
    """The parts of a file that were sent, a request each."""
    sent: list[range] = []

    def noted(upload_id, source, part, digests, encoded=None):
        sent.append(part)
        return put_chunks(upload_id, source, part, digests, encoded)

    monkeypatch.setattr(transfer.upload.one_file, "put_chunks", noted)
    return sent


@pytest.fixture
def quick(monkeypatch) -> None:
    """The first bytes are enough to call the link quick."""
    monkeypatch.setattr("transfer.upload.scheduler.QUICK_BYTES_PER_S", 1)


def send(receiver, folder, *, connections: int, limit: str = "unlimited") -> None:
    """Send a file, and check that it lies there as it is."""
    file = folder / "x.mrc"
    file.write_bytes(os.urandom(SIZE))
    with (
        ReceiverClient(receiver.url, receiver.token()) as client,
        Sender(client, connections=connections, pacer=pacer_of(limit)) as sender,
    ):
        client.open_session("s1")
        progress: list[int] = []
        sender.send(FileToSend(file, "s1", "x.mrc"), on_progress=progress.append)
        assert sum(progress) == sender.sent_bytes == SIZE
    assert (receiver.data / "sessions/s1/files/x.mrc").read_bytes() == file.read_bytes()


def chunks_in(part: range) -> int:
    return -(-len(part) // CHUNK_BYTES)


def test_on_a_quick_short_way_neighbours_share_requests(receiver, tmp_path, parts, quick) -> None:
    send(receiver, tmp_path, connections=1)
    assert [chunks_in(part) for part in parts] == [1, MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert sum(map(len, parts)) == SIZE


def test_while_connections_are_idle_nothing_is_shared(receiver, tmp_path, parts, quick) -> None:
    send(receiver, tmp_path, connections=CHUNKS)
    assert sorted(parts, key=lambda part: part.start) == split(SIZE)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["far", "capped"])
def test_otherwise_it_stays_one_chunk_a_request(receiver, tmp_path, parts, monkeypatch, kind) -> None:
    if kind == "far":
        monkeypatch.setattr("transfer.pace.steering.LONG_ROUND_TRIP_S", 0.0)
    send(receiver, tmp_path, connections=1, limit="10GB/s" if kind == "capped" else "unlimited")
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
