"""Answers of real servers that are endless in bytes or in time: each ends soon, as an answer of somebody else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from raw_server import Script, drip, flood, gzip_bomb, head, raw_server

from tests.running import clean_environment
from transfer.client import ReceiverClient
from transfer.connections.contract import SendCallbacks
from transfer.connections.httpx_connection import HttpxConnection
from transfer.connections.requests import put_file
from transfer.source import Source
from transfer.wire.digest import chunk_digest
from transfer.wire.errors import ForeignAnswer
from transfer.wire.receipt import Receipt

TOKEN = "secret-token-0123456789"
TIMEOUT_S = 0.3
LATEST_S = 100  # on a machine that is busy; what is not bounded never ends
CHUNKED = "Transfer-Encoding: chunked"
FIRST, BLOCK = gzip_bomb()
RECEIPT = Receipt(session="s", path="a.mrc", revision=1, size_bytes=8_000_000, digest="0" * 64)
ETAG = f'ETag: "{RECEIPT.digest}"'

ANSWERS: dict[str, Script] = {
    "a head in drips": drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "no end of informational answers": flood(b"", b"HTTP/1.1 102 Wait\r\n\r\n" * 1000),
    "no end of informational answers in drips": drip(b"", b"HTTP/1.1 102 Wait\r\n\r\n"),
    "a body in drips": drip(head("Content-Length: 100000")),
    "chunks in drips": drip(head(CHUNKED), b"1\r\n \r\n"),
    "an error in drips": drip(head("Content-Length: 100000", status="503 Busy")),
    "a redirection in drips": drip(head("Location: https://example.org", CHUNKED, status="301 Moved"), b"1\r\n \r\n"),
    "a body without an end": flood(head(CHUNKED), b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
    "an error without an end": flood(head(status="403 Forbidden"), b" " * 0x10000),
    "a redirection without an end": flood(head("Location: /x", status="302 Found"), b" " * 0x10000),
}
CODED: dict[str, Script] = {
    "a bomb of gzip": flood(head("Content-Encoding: gzip") + FIRST, BLOCK * 9),
    "a bomb of gzip in an error": flood(head("Content-Encoding: gzip", status="500 Bad") + FIRST, BLOCK * 9),
    "a coding that was not asked for": flood(head("Content-Encoding: zstd"), b" " * 0x10000),
}


def never() -> None:
    """Nobody wants to stop."""


FREELY = SendCallbacks(grant=lambda left: left, on_sent=lambda _: None, check_stop=never)


def refused(script: Script, request: Callable[[ReceiverClient], object]) -> str:
    """Return how a request is refused, which is soon."""
    with raw_server(script) as url, ReceiverClient(url, TOKEN, timeout_s=TIMEOUT_S) as client:
        began_s = time.monotonic()
        with pytest.raises(ForeignAnswer) as caught:
            request(client)
        assert time.monotonic() - began_s < LATEST_S
    return str(caught.value)


@pytest.mark.parametrize("what", [*ANSWERS, *CODED])
def test_an_endless_answer_to_a_control_request_is_refused(what: str) -> None:
    refused({**ANSWERS, **CODED}[what], lambda client: client.service())


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("kind", ["socket", "httpx"])
def test_an_endless_answer_to_a_bulk_request_is_refused(what: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    def send(client: ReceiverClient) -> None:
        through = HttpxConnection(client._http.put, lambda: None) if kind == "httpx" else client.new_connection()
        try:
            with Source(tmp_path / "empty") as source:
                through.send(put_file("s", "empty", 1, source, chunk_digest(b"")), FREELY)
                through.answer(never)
        finally:
            through.close()

    refused(ANSWERS[what], send)


def read(client: ReceiverClient) -> None:
    with client.content(RECEIPT, range(RECEIPT.size_bytes)) as (_, pieces):
        for _piece in pieces:
            pass


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (drip(head("Content-Length: 8000000", ETAG)), "less than 1000 bytes per second"),
        (drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"), "the head of the answer"),
        (flood(head(ETAG, "Content-Encoding: gzip") + FIRST, BLOCK), "which was not asked for"),
        (flood(head(status="404 Not Found"), b" " * 0x10000), "more than"),
    ],
)
def test_a_file_that_does_not_come_is_refused(script: Script, reason: str) -> None:
    assert reason in refused(script, read)


def test_a_file_may_take_long_while_its_reader_does_something_else() -> None:
    body = bytes(300_000)
    size = RECEIPT.model_copy(update={"size_bytes": len(body)})
    answer = head(f"Content-Length: {len(body)}", ETAG) + body
    read_bytes = 0
    with (
        raw_server(lambda connected, _: connected.sendall(answer)) as url,
        ReceiverClient(url, TOKEN, timeout_s=TIMEOUT_S) as client,
        client.content(size, range(len(body))) as (_, pieces),
    ):
        for piece in pieces:
            read_bytes += len(piece)
            time.sleep(0.15)
    assert read_bytes == len(body)


MEASURED = """
import resource, sys
from transfer.client import ReceiverClient
from transfer.wire.errors import ForeignAnswer, ProtocolMismatch

peak = lambda: int(next(line for line in open("/proc/self/status") if "VmHWM" in line).split()[1]) / 1000
with ReceiverClient(sys.argv[1], "secret-token-0123456789") as client:
    before = peak()
    try:
        {"list": lambda: list(client.files("s")), "bomb": client.service}.get(sys.argv[2], client.sessions)()
    except (ForeignAnswer, ProtocolMismatch) as error:
        print(peak() - before)
"""


def names(count: int) -> bytes:
    return ",".join(f'"{number}":""' for number in range(count)).encode()


def page(number: int) -> bytes:
    """Return a page of one session, whose project has a long name, and after which another one comes."""
    session = {
        "name": f"s{number}", "state": "open", "closed": False, "created_at": "2026-01-01T00:00:00Z",
        "exposure_count": 0, "registrars": [], "registered_count": {}, "projects": {"relion": "x" * 4_000_000},
    }  # fmt: skip
    return json.dumps({"sessions": [session], "next": str(number)}).encode()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of the memory from /proc")
@pytest.mark.parametrize("what", ["bomb", "list", "a session of many maps", "pages of sessions"])
def test_an_answer_that_would_fill_the_memory_takes_little(what: str) -> None:
    bomb = head("Content-Encoding: gzip") + FIRST + BLOCK * 9400  # 9.4 MB: 9.4 GB decoded
    entries = b'{"files": [' + b"{}," * 1_300_000 + b"{}]}"
    service = b'{"version": "1", "max_file_bytes": 1, "free_bytes": 1, "registrars": []}'
    answers = {
        "bomb": [bomb],
        "list": [head() + service, head() + entries],
        "a session of many maps": [head() + b'{"sessions": [{"projects": {' + names(430_000) + b"}}]}"],
        "pages of sessions": [head() + page(number) for number in range(20)],
    }
    answering = iter(answers[what])
    with raw_server(lambda connected, _: connected.sendall(next(answering))) as url:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, url, what],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout, done.stderr
    assert float(done.stdout) < 150, "MB"
