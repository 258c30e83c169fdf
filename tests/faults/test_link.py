"""Links that flip, cut, stall and lose; receivers and senders that die: files arrive whole or do not appear."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest
from chaos_proxy import ChaosProxy
from sent_files import Watching, assert_arrived, make, start_sending, visible

from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.pace.congestion import CongestionLimits
from transfer.upload.exchange import CORRUPT_TRIES
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import AuthRejected, ChunkCorrupt, LinkLost, SourceChanged, TransferError, TransferStopped

ON_BOTH_DATA_PLANES = pytest.mark.parametrize("data_plane", ["socket", "stream"])
# A second request is sent before the first one's answer, as on a long link.
PIPELINED = CongestionLimits(pipeline_round_trip_s=0.0)
OVERHEAD_BYTES = 1 << 16  # headers and the small requests of one test


def start_session(receiver):
    with ReceiverClient(receiver.url, receiver.token()) as client:
        client.open_session("grid1")


@pytest.mark.parametrize(
    ("data_plane", "seed", "delay_s"), [("socket", 1, 0), ("stream", 2, 0), ("socket", 3, 0.02), ("stream", 4, 0.02)]
)
def test_a_link_that_flips_cuts_stalls_and_loses_answers(receiver, tmp_path, seed, delay_s):
    limits = PIPELINED if delay_s else None  # the kernel sees the round trip to the proxy, which is short
    start_session(receiver)
    sizes = [0, 1, 100_000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]
    files = [make(tmp_path / "source", f"file{n}.mrc", size) for n, size in enumerate(sizes)]
    faults = {"flips": 6, "cuts": 6, "stalls": 4, "stall_s": 0.05, "lose_answers": {2, 5, 9, 12, 14}}
    with (
        ChaosProxy(receiver.port, seed=seed, within_bytes=sum(sizes), delay_s=delay_s, **faults) as proxy,
        Watching(receiver.data, files) as watching,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token(), timeout_s=5) as client,
        Sender(client, connections=3, quiet_s=0.1, give_up_after_s=60, congestion_limits=limits) as sender,
    ):
        outcomes = list(sender.send_many(files))
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert_arrived(receiver.data, files)
    assert watching.looks
    assert watching.bad == []
    assert proxy.happened == {"flip": 6, "cut": 6, "stall": 4, "lost answer": 5}


@ON_BOTH_DATA_PLANES
def test_a_link_that_always_flips_is_given_up_and_nothing_appears(receiver, tmp_path):
    start_session(receiver)
    file = make(tmp_path / "source", "file.mrc", 2 * CHUNK_BYTES)
    with (
        ChaosProxy(receiver.port, flips=10_000, within_bytes=20 * CHUNK_BYTES) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token()) as client,
        Sender(client, connections=1) as sender,
    ):
        with pytest.raises(ChunkCorrupt) as caught:
            sender.send(file)
        assert caught.value.exit_code == 6
        assert sender.sent_bytes == 0
        assert CORRUPT_TRIES * CHUNK_BYTES <= proxy.sent_bytes < (CORRUPT_TRIES + 1) * CHUNK_BYTES
    assert visible(receiver.data) == {}


@ON_BOTH_DATA_PLANES
def test_a_connection_that_goes_silent_is_given_up_on_both_sides_and_made_anew(make_receiver, tmp_path):
    receiver = make_receiver(body_timeout_s=1)
    start_session(receiver)
    file = make(tmp_path / "source", "file.mrc", 2 * CHUNK_BYTES)
    with (
        ChaosProxy(receiver.port, seed=3, stalls=1, stall_s=60, within_bytes=CHUNK_BYTES) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token(), timeout_s=0.5) as client,
        Sender(client, connections=2, quiet_s=0.1, give_up_after_s=60) as sender,
    ):
        sender.send(file)
        assert proxy.happened["stall"] == 1
    assert_arrived(receiver.data, [file])


@pytest.mark.parametrize("size_bytes", [1000, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_wrong_token_is_told_at_once(receiver, tmp_path, size_bytes):
    file = make(tmp_path / "source", "file.mrc", size_bytes)
    with (
        ReceiverClient(receiver.url, "cf_wrong000_" + "x" * 43) as client,
        Sender(client, give_up_after_s=0) as sender,
        pytest.raises(AuthRejected),
    ):
        sender.send(file)
    assert visible(receiver.data) == {}


def test_nobody_there_is_given_up_in_time_or_borne_until_told(tmp_path):
    file = make(tmp_path / "source", "file.mrc", 1000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with ReceiverClient(f"http://127.0.0.1:{port}", "token") as client:
        with Sender(client, give_up_after_s=0.5) as sender, pytest.raises(LinkLost):
            sender.send(file)
        until = time.monotonic() + 1
        with Sender(client, give_up_after_s=None) as sender, pytest.raises(TransferStopped):
            sender.send(file, should_stop=lambda: time.monotonic() > until)
        assert until < time.monotonic()


class Background:
    """Sends in a thread; leaving the block waits for the receipt."""

    def __init__(self, sender, file):
        self.arrived = threading.Semaphore(0)
        self.receipt = self.error = None
        self._thread = threading.Thread(target=self._send, args=(sender, file))

    def _send(self, sender, file):
        try:
            self.receipt = sender.send(file, on_progress=lambda _: self.arrived.release())
        except TransferError as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()


def test_a_receiver_that_is_down_for_a_while_is_waited_for(receiver_process, tmp_path):
    receiver_process.start()
    start_session(receiver_process)
    token = receiver_process.token()
    file = make(tmp_path / "source", "file.mrc", 2 * CHUNK_BYTES)
    receiver_process.kill()
    with (
        ReceiverClient(receiver_process.url, token) as client,
        Sender(client, give_up_after_s=None) as sender,
        Background(sender, file) as sending,
    ):
        time.sleep(0.5)
        receiver_process.start()
    assert sending.error is None
    assert_arrived(receiver_process.data, [file])


def test_after_a_killed_receiver_only_what_was_in_flight_is_sent_again(receiver_process, tmp_path):
    receiver_process.start()
    start_session(receiver_process)
    connections, size_bytes = 2, 6 * CHUNK_BYTES
    file = make(tmp_path / "source", "file.mrc", size_bytes)
    with (
        ChaosProxy(receiver_process.port, bytes_per_s=40e6) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver_process.token(), timeout_s=10) as client,
        Sender(
            client, connections=connections, quiet_s=0.1, give_up_after_s=None, congestion_limits=PIPELINED
        ) as sender,
        Background(sender, file) as sending,
    ):
        for _ in range(3):
            assert sending.arrived.acquire(timeout=60)
        receiver_process.kill()
        assert visible(receiver_process.data) == {}
        receiver_process.options = ("--data-plane", "stream")
        receiver_process.start()
    assert sending.error is None
    assert_arrived(receiver_process.data, [file])
    assert size_bytes < proxy.sent_bytes <= size_bytes + 2 * connections * CHUNK_BYTES + OVERHEAD_BYTES


@ON_BOTH_DATA_PLANES
def test_pipelined_chunks_arrive_over_one_connection_and_a_cut_costs_at_most_what_was_in_flight(receiver, tmp_path):
    start_session(receiver)
    size_bytes = 6 * CHUNK_BYTES
    file = make(tmp_path / "source", "file.mrc", size_bytes)
    with (
        ChaosProxy(receiver.port, seed=5, cuts=1, within_bytes=5 * CHUNK_BYTES) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token()) as client,
        Sender(client, connections=1, quiet_s=0.1, congestion_limits=PIPELINED) as sender,
    ):
        sender.send(file)
        assert sender.scheduler.congestion.pipelines
        assert sender.sent_bytes == size_bytes
        assert proxy.happened == {"cut": 1}
        assert proxy.sent_bytes <= size_bytes + 2 * CHUNK_BYTES + OVERHEAD_BYTES
    assert_arrived(receiver.data, [file])


class Meddling:
    """Changes a byte of the first chunk, and hides it, when its first piece is about to go out."""

    def __init__(self, path):
        self.path, self.is_over = path, False

    def grant(self, _, wanted, *, check_stop):
        if not self.is_over:
            self.is_over, before = True, self.path.stat()
            with self.path.open("r+b") as file:
                file.seek(CHUNK_BYTES - 1)
                last = file.read(1)[0]
                file.seek(CHUNK_BYTES - 1)
                file.write(bytes([255 - last]))
            os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return wanted


@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES, 2 * CHUNK_BYTES])
def test_bytes_that_change_between_their_digest_and_their_sending_are_found_out(receiver, tmp_path, size_bytes):
    start_session(receiver)
    file = make(tmp_path / "source", "file.mrc", size_bytes)
    with (
        ReceiverClient(receiver.url, receiver.token()) as client,
        Sender(client, connections=1, quiet_s=0.1, pacer=Meddling(file.source)) as sender,
    ):
        with pytest.raises(SourceChanged):
            sender.send(file)
        assert visible(receiver.data) == {}
        sender.send(file)
    assert_arrived(receiver.data, [file])


@ON_BOTH_DATA_PLANES
def test_after_a_killed_sender_only_what_was_in_flight_is_sent_again(receiver, tmp_path):
    start_session(receiver)
    size_bytes = 6 * CHUNK_BYTES
    file = make(tmp_path / "source", "file.mrc", size_bytes)
    with ChaosProxy(receiver.port, bytes_per_s=10e6) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        first = start_sending(url, receiver.token(), file)
        wait_until(
            lambda: proxy.sent_bytes >= 3.5 * CHUNK_BYTES, "three chunks and more", alive=lambda: first.poll() is None
        )
        first.kill()
        assert first.wait() == -signal.SIGKILL
        assert visible(receiver.data) == {}
        assert start_sending(url, receiver.token(), file).wait() == 0
        assert size_bytes < proxy.sent_bytes <= size_bytes + 4 * CHUNK_BYTES + OVERHEAD_BYTES  # 2 connections
    assert_arrived(receiver.data, [file])
