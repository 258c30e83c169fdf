"""kill -9 of the sender and of the receiver in the middle of a file: it arrives whole, nothing else is ever visible."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time

import pytest
from chaos_proxy import ChaosProxy
from sent_files import Watching, assert_arrived, make, start_sending

from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.wire.chunks import CHUNK_BYTES

LONG_S = 1800.0 if os.environ.get("CRYOFERRY_CAMPAIGN") == "1" else 0.0


def kill_in_the_middle(victim, receiver, proxy, file, data_plane):
    """Start to send, and kill one side, or both, once something is on its way."""
    sending = start_sending(f"http://127.0.0.1:{proxy.port}", receiver.token(), file)
    until_bytes = proxy.sent_bytes + random.uniform(0.2, 2) * CHUNK_BYTES
    wait_until(lambda: proxy.sent_bytes >= until_bytes or sending.poll() is not None, "bytes on their way")
    if victim != "receiver":
        sending.kill()
        assert sending.wait() in (-signal.SIGKILL, 0)  # it may have been quicker
    if victim != "sender":
        receiver.kill()
        receiver.options = ("--data-plane", data_plane)
        receiver.start()
    assert sending.wait() == 0 or victim != "receiver"


@pytest.mark.timeout(LONG_S + 300)
def test_files_arrive_whole_though_both_sides_are_killed(receiver_process, tmp_path) -> None:
    receiver_process.start()
    token = receiver_process.token()
    with ReceiverClient(receiver_process.url, token) as client:
        client.open_session("grid1")
    planes, victims = (
        itertools.cycle(["stream", "socket"]),
        itertools.cycle(["sender", "both", "receiver"] if LONG_S else ["sender", "receiver"]),
    )
    began = time.monotonic()
    with ChaosProxy(receiver_process.port, bytes_per_s=20e6) as proxy:
        for number in itertools.count():
            file = make(tmp_path / "source", f"file{number}.mrc", 8 * CHUNK_BYTES + number)
            with Watching(receiver_process.data, [file]) as watching:
                for victim in itertools.islice(victims, 3 if LONG_S else 2):
                    kill_in_the_middle(victim, receiver_process, proxy, file, next(planes))
            assert watching.bad == []
            assert_arrived(receiver_process.data, [file])
            if time.monotonic() >= began + LONG_S:
                return
            for path in (file.source, receiver_process.data / "sessions/grid1/files" / file.path):
                path.unlink()  # a long run would fill the disk
