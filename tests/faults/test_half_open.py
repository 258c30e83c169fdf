"""Connections whose other side is gone without a farewell: both sides give up, and nothing appears but whole files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos_proxy import ChaosProxy

from api.http.slow_clients import ClientLimits
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.download.fetcher import Fetcher
from transfer.file_digest import file_digest
from transfer.pace.congestion import CongestionLimits
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES

SIZE_BYTES = 2 * CHUNK_BYTES + 5


@pytest.fixture
def file(tmp_path):
    """A file to send, and to look for."""
    path = tmp_path / "source.mrc"
    path.write_bytes(os.urandom(SIZE_BYTES))
    return FileToSend(path, "grid1", "file.mrc")


def descriptors_below(folder):
    """Return which files below a folder this process, which is the receiver's too, has open."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith(str(folder.resolve())):
            opened.append(target)
    return opened


@pytest.mark.parametrize(
    ("data_plane", "kind"), [("socket", "vanish"), ("stream", "vanish"), ("socket", "deaf"), ("stream", "mute")]
)
def test_a_file_arrives_though_connections_become_half_open(make_receiver, tmp_path, file, kind) -> None:
    pipelined = CongestionLimits(pipeline_round_trip_s=0.0)
    receiver = make_receiver(body_timeout_s=0.5)
    with ReceiverClient(receiver.url, receiver.token()) as client:
        client.open_session("grid1")
    with (
        ChaosProxy(receiver.port, seed=7, half_open=[kind] * 2, within_bytes=CHUNK_BYTES) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token(), timeout_s=0.5) as client,
        Sender(client, connections=2, quiet_s=0.1, give_up_after_s=60, congestion_limits=pipelined) as sender,
    ):
        receipt = sender.send(file)
        assert proxy.happened == {kind: 2}
        content = file.source.read_bytes()
        files = receiver.data / "sessions/grid1/files"
        assert {path.name: path.read_bytes() for path in files.iterdir()} == {"file.mrc": content}
        with file.source.open("rb") as source:
            assert receipt.digest == file_digest(source.fileno(), SIZE_BYTES)
        # The receiver, too, has given the bodies up whose end never came: their connections are still there.
        wait_until(lambda: not descriptors_below(receiver.data / "incoming"), "a body is waited for without end")


@pytest.mark.parametrize("kind", ["vanish", "mute"])
def test_a_file_is_fetched_though_connections_become_half_open(make_receiver, tmp_path, file, kind) -> None:
    receiver = make_receiver(limits=ClientLimits(write_timeout_s=0.5))
    with ReceiverClient(receiver.url, receiver.token()) as client, Sender(client) as sender:
        client.open_session("grid1")
        receipt = sender.send(file)
    faults = {"half_open": [kind] * 2, "within_bytes": CHUNK_BYTES, "damages": "down"}
    with (
        ChaosProxy(receiver.port, seed=7, **faults) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token(), timeout_s=0.5) as client,
    ):
        (fetched,) = Fetcher(client, tmp_path / "out", connections=2).fetch_all([receipt])
        assert fetched.error is None
        assert proxy.happened == {kind: 2}
        found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert found == {"file.mrc": file.source.read_bytes()}
        wait_until(lambda: not descriptors_below(receiver.data / "sessions"), "an answer is written without end")
