"""The sender compresses what shrinks, where the link is slow, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer.client import ReceiverClient
from transfer.pace.pacer import pacer_of
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender

COUNTS = bytes(range(11)) * 2_000_000  # three chunks


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "movie.mrc"
    path.write_bytes(COUNTS)
    return path


def send(receiver, path: Path, name: str = "movie.mrc", *, limit: str = "10GB/s", may_compress: bool = True) -> int:
    """Send a file, check that it arrived unchanged and counts whole; return how many bytes went over the network."""
    with (
        ReceiverClient(receiver.url, receiver.token()) as client,
        Sender(client, connections=2, pacer=pacer_of(limit), may_compress=may_compress) as sender,
    ):
        client.open_session("s1")
        sender.send(FileToSend(path, "s1", name))
        assert (receiver.data / "sessions/s1/files" / name).read_bytes() == path.read_bytes()
        assert sender.sent_bytes == path.stat().st_size
        return sender.scheduler.network_bytes


def test_what_shrinks_travels_compressed(receiver, source) -> None:
    assert 0 < send(receiver, source) < len(COUNTS) / 10
    small = source.with_name("small")
    small.write_bytes(COUNTS[:1_000_000])
    assert 0 < send(receiver, small, "small") < 100_000


@pytest.mark.parametrize(
    "options", [{"may_compress": False}, {"limit": "unlimited"}], ids=["not-allowed", "nothing-is-slow"]
)
def test_otherwise_it_travels_as_it_is(receiver, source, options) -> None:
    assert send(receiver, source, **options) == len(COUNTS)


def test_noise_travels_as_it_is_though_its_beginning_shrinks(receiver, source) -> None:
    data = COUNTS[:300_000] + os.urandom(20_000_000)
    source.write_bytes(data)
    assert send(receiver, source) == len(data)
