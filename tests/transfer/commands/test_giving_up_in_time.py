"""The time after which the receiver is given up holds for all waits of a request together, and for every attempt."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path

import pytest
from raw_server import Script, head, raw_server

from transfer.client import ReceiverClient
from transfer.commands.fetch_run import exit_code
from transfer.download.fetcher import Fetcher
from transfer.pace import retrying
from transfer.pace.retrying import RetryPolicy, silence_s
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.errors import TemporaryError
from transfer.wire.receipt import Receipt

GIVE_UP_S, SHORTEST_S = 0.3, 0.05
LATEST_S, MANY = 30.0, 400  # as long as a busy machine may take; if each file had its own time, 120 s
TOKEN = "secret-token-0123456789"
STAGE_S = 0.8 * GIVE_UP_S
RECEIPT = Receipt(session="s", path="a.mrc", revision=1, size_bytes=8_000_000, digest="0" * 64)
ETAG = f'ETag: "{RECEIPT.digest}"'


def in_stages(*stages: bytes) -> Script:
    """Return a script that sends parts of an answer, each of them late, and the last one for ever."""

    def script(connected: socket.socket, over: threading.Event) -> None:
        for stage in chain(stages, repeat(stages[-1])):
            if over.wait(STAGE_S):
                return
            connected.sendall(stage)

    return script


def silence(_connected: socket.socket, over: threading.Event) -> None:
    over.wait()


def stalled(*fields: str) -> Script:
    """Return a script that sends half of a chunk of a file, and no more."""

    def script(connected: socket.socket, over: threading.Event) -> None:
        connected.sendall(head(*fields) + bytes(100_000))
        over.wait()

    return script


def control(client: ReceiverClient, _folder: Path) -> None:
    RetryPolicy(GIVE_UP_S, lambda: False).repeat(client.service)


def send(client: ReceiverClient, folder: Path) -> None:
    (folder / "a.mrc").write_bytes(bytes(1000))
    with Sender(client, give_up_after_s=GIVE_UP_S) as sender:
        sender.send(FileToSend(source=folder / "a.mrc", session="s", path="a.mrc"))


def fetch(client: ReceiverClient, folder: Path) -> None:
    many = [RECEIPT.model_copy(update={"path": f"{number}.mrc"}) for number in range(MANY)]
    results = list(Fetcher(client, folder / "out", give_up_after_s=GIVE_UP_S).fetch_all(many))
    errors = [result.error for result in results]
    assert exit_code(errors) == 5
    assert not [path for path in (folder / "out").rglob("*") if not path.name.startswith(".")]
    for error in errors:
        assert isinstance(error, TemporaryError)
    raise errors[0]


CASES: dict[str, tuple[Callable[[ReceiverClient, Path], None], Script]] = {
    "a control request, in silence": (control, silence),
    "a control request, in stages": (control, in_stages(b"HTTP/1.1 200 OK\r\n", b"Content-Length: 9\r\n\r\n", b"{")),
    "a file to send, in silence": (send, silence),
    "a file to send, in stages": (send, in_stages(b"HTTP/1.1 201 Created\r\n", b"Content-Length: 9\r\n\r\n", b"{")),
    "files to fetch, in silence": (fetch, silence),
    "files to fetch, stalled": (fetch, stalled("Content-Length: 8000000", ETAG)),
}


@pytest.mark.parametrize("what", CASES)
def test_all_waits_together_take_no_longer_than_the_time_given(what, monkeypatch, tmp_path):
    monkeypatch.setattr(retrying, "SHORTEST_SILENCE_S", SHORTEST_S)
    run, script = CASES[what]
    with raw_server(script) as url, ReceiverClient(url, TOKEN, timeout_s=silence_s(GIVE_UP_S)) as client:
        began_s = time.monotonic()
        with pytest.raises(TemporaryError):
            run(client, tmp_path)
        assert time.monotonic() - began_s < LATEST_S


@pytest.mark.parametrize(("given_s", "one_s"), [(None, 60), (600, 60), (60, 54), (10, 9), (1, 1), (0.1, 1), (0, 5)])
def test_one_attempt_leaves_time_for_another_one(given_s, one_s):
    assert silence_s(given_s) == pytest.approx(one_s)
