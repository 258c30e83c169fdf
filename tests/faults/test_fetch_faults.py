"""Fetching from receivers that lie, over links that damage, and killed midway: no bad byte gets a file's name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from chaos_proxy import ChaosProxy
from scripted_server import scripted

from tests.running import COMMAND
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.download.fetcher import Fetcher
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES, split
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.errors import FileCorrupt, LinkLost
from transfer.wire.receipt import Receipt

ROOT = Path(__file__).parents[2]
SIZE_BYTES = CHUNK_BYTES + 7
CONTENT, OTHER = os.urandom(SIZE_BYTES), os.urandom(SIZE_BYTES)


def receipt_of(content: bytes) -> Receipt:
    digest = root_digest(chunk_digest(content[chunk.start : chunk.stop]) for chunk in split(len(content)))
    return Receipt(session="grid1", path="deep/file.mrc", revision=1, size_bytes=len(content), digest=digest)


def visible(out: Path) -> dict[str, bytes]:
    """Return what stands under its name in a folder: hidden part files aside."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def answers(lie: str, first: int, stop: int) -> tuple[int, dict[str, str], bytes]:
    """Return what a receiver says that lies about the bytes from the second chunk on."""
    honest = CONTENT[first:stop]
    etag = {"ETag": f'"{receipt_of(CONTENT).digest}"'}
    told = {"Content-Range": f"bytes {first}-{stop - 1}/{SIZE_BYTES}", **etag}
    if first == 0 and lie != "a part as the whole":
        return 206, told, honest
    flipped = honest[:-1] + bytes([honest[-1] ^ 1])
    return {
        "nothing": (206, told, honest),
        "a flipped bit": (206, told, flipped),
        "bytes of another file": (206, {**told, "ETag": f'"{receipt_of(OTHER).digest}"'}, OTHER[first:stop]),
        "another range": (206, {**told, "Content-Range": f"bytes 0-{stop - first - 1}/{SIZE_BYTES}"}, honest),
        "another total": (206, {**told, "Content-Range": f"bytes {first}-{stop - 1}/{SIZE_BYTES + 1}"}, honest),
        "no range at all": (206, etag, honest),
        "a range of nonsense": (206, {**told, "Content-Range": "bytes */*"}, honest),
        "a shorter body": (206, told, honest[:-1]),
        "a body that ends early": (206, {**told, "Content-Length": str(stop - first)}, honest[:-1]),
        "a longer body": (206, told, honest + b"more"),
        "the whole": (200, etag, CONTENT),
        "another file as the whole": (200, etag, OTHER),
        "a part as the whole": (200, etag, honest),
        "an empty success": (204, etag, b""),
        "a refusal": (404, {}, b"not here"),
    }[lie]


RIGHT_ALL_THE_SAME = ["nothing", "a longer body", "the whole"]
LIES = [
    "a flipped bit",
    "bytes of another file",
    "another range",
    "another total",
    "no range at all",
    "a range of nonsense",
    "a shorter body",
    "a body that ends early",
    "another file as the whole",
    "a part as the whole",
    "an empty success",
    "a refusal",
]


@pytest.mark.parametrize("lie", [*RIGHT_ALL_THE_SAME, *LIES])
def test_a_receiver_that_lies_about_ranges_is_not_believed(tmp_path: Path, lie: str) -> None:
    def answer(request):
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request[2]["Range"]).groups())
        return answers(lie, first, last + 1)

    with scripted(answer) as (url, _), ReceiverClient(url, None, timeout_s=1) as client:
        fetcher = Fetcher(client, tmp_path, connections=1, give_up_after_s=0)
        (fetched,) = fetcher.fetch_all([receipt_of(CONTENT)])
    if lie in RIGHT_ALL_THE_SAME:
        assert fetched.error is None
        assert visible(tmp_path) == {"deep/file.mrc": CONTENT}
    else:
        assert fetched.error is not None
        assert visible(tmp_path) == {}


@pytest.fixture
def content() -> bytes:
    """What the receiver holds."""
    return CONTENT


@pytest.fixture
def committed(receiver, content: bytes, tmp_path: Path) -> Receipt:
    """The receipt of a file that the receiver holds."""
    (tmp_path / "source").write_bytes(content)
    with ReceiverClient(receiver.url, receiver.token()) as client, Sender(client) as sender:
        client.open_session("grid1")
        return sender.send(FileToSend(tmp_path / "source", "grid1", "deep/file.mrc"))


def test_a_flipped_bit_is_found_out_and_the_file_fetched_anew(receiver, committed, tmp_path) -> None:
    with (
        ChaosProxy(receiver.port, seed=3, damages="down", flips=2, within_bytes=CHUNK_BYTES) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token()) as client,
    ):
        (fetched,) = Fetcher(client, tmp_path / "out").fetch_all([committed])
        assert isinstance(fetched.error, FileCorrupt)
        assert visible(tmp_path / "out") == {}
        assert proxy.happened == {"flip": 2}
        (fetched,) = Fetcher(client, tmp_path / "out").fetch_all([committed])
    assert fetched.error is None
    assert visible(tmp_path / "out") == {"deep/file.mrc": CONTENT}


def test_over_a_link_that_cuts_and_stalls_a_file_arrives(receiver, committed, tmp_path) -> None:
    faults = {"cuts": 5, "stalls": 3, "stall_s": 0.05, "within_bytes": CHUNK_BYTES}
    with (
        ChaosProxy(receiver.port, seed=3, damages="down", **faults) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token()) as client,
    ):
        (fetched,) = Fetcher(client, tmp_path / "out", connections=2).fetch_all([committed])
        assert proxy.happened == {"cut": 5, "stall": 3}
    assert fetched.error is None
    assert visible(tmp_path / "out") == {"deep/file.mrc": CONTENT}


def test_a_link_that_is_lost_for_good_leaves_nothing_visible(receiver, committed, tmp_path) -> None:
    with (
        ChaosProxy(receiver.port, damages="down", cuts=1000, within_bytes=1) as proxy,
        ReceiverClient(f"http://127.0.0.1:{proxy.port}", receiver.token()) as client,
    ):
        (fetched,) = Fetcher(client, tmp_path / "out", give_up_after_s=0.5).fetch_all([committed])
    assert isinstance(fetched.error, LinkLost)
    assert visible(tmp_path / "out") == {}


@pytest.mark.parametrize("content", [3 * (CONTENT + OTHER)], ids=["six chunks and a bit"])
def test_a_killed_fetch_goes_on_where_it_was(receiver, committed, content, tmp_path) -> None:
    with ChaosProxy(receiver.port, damages="down", bytes_per_s=20e6) as proxy:
        fetch = [*COMMAND, "fetch", "grid1", "--from", f"http://127.0.0.1:{proxy.port}"]
        command = [*fetch, "--out", str(tmp_path / "out"), "--connections", "1"]
        environment = {**os.environ, "CRYOFERRY_TOKEN": receiver.token()}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as killed:
            wait_until(
                lambda: proxy.answered_bytes >= 1.3 * CHUNK_BYTES,
                "more than a chunk",
                alive=lambda: killed.poll() is None,
            )
            killed.kill()
        assert killed.returncode == -signal.SIGKILL
        assert visible(tmp_path / "out") == {}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
        assert len(content) < proxy.answered_bytes < len(content) + 1.5 * CHUNK_BYTES  # one chunk was on its way
    assert visible(tmp_path / "out") == {"deep/file.mrc": content}
