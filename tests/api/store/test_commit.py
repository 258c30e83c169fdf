"""A disk that loses bytes which it took gets no receipt; holes that stand for zeros do."""

from __future__ import annotations

import os

import pytest

from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.problems import PROBLEM_TYPE

SIZE = 1_000_000
LARGE = CHUNK_BYTES + SIZE
WHOLE, END, MIDDLE = range(LARGE), range(SIZE - 1, LARGE), range(SIZE // 3, SIZE // 2)


def lose(monkeypatch, lost: range) -> None:
    """Let the disk take all bytes, and lose those whose write covers one of these."""
    write = os.pwrite

    def lie(descriptor: int, block: bytes | memoryview, offset: int) -> int:
        if offset < lost.stop and offset + len(block) > lost.start:
            return len(block)
        return write(descriptor, block, offset)

    monkeypatch.setattr(os, "pwrite", lie)


@pytest.fixture(params=[SIZE, LARGE], ids=["one chunk", "two chunks"])
def data(request) -> bytes:
    return os.urandom(request.param)


@pytest.mark.parametrize("lost", [WHOLE, END, MIDDLE], ids=["whole", "end", "middle"])
def test_a_file_in_one_request_whose_bytes_the_disk_lost_is_sent_again(receiver, wire, monkeypatch, data, lost) -> None:
    with monkeypatch.context() as patch:
        lose(patch, lost)
        answer = wire.put_file("a/x", data)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (500, PROBLEM_TYPE + "storage-failed")
    assert "s1/a/x" in problem["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert not (receiver.data / "sessions/s1/files").exists()
    assert list((receiver.data / "incoming").iterdir()) == []
    assert wire.http.get("/v1/sessions/s1/files").json()["files"] == []
    assert wire.put_file("a/x", data).status_code == 201  # its name is free
    assert (receiver.data / "sessions/s1/files/a/x").read_bytes() == data


def test_holes_that_stand_for_zeros_are_no_loss(receiver, wire, monkeypatch) -> None:
    """As file systems that compress make them: ZFS and btrfs."""
    data, write = bytes(LARGE), os.pwrite

    def make_hole(descriptor: int, block: bytes | memoryview, offset: int) -> int:
        if any(block):
            return write(descriptor, block, offset)
        os.ftruncate(descriptor, max(os.fstat(descriptor).st_size, offset + len(block)))
        return len(block)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", make_hole)
        assert wire.put_file("zeros", data).status_code == 201
    kept = receiver.data / "sessions/s1/files/zeros"
    assert kept.stat().st_blocks == 0  # the check had holes to look at
    assert kept.read_bytes() == data
