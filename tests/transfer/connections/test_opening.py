"""Names that are not found in time, and addresses that do not answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfer.client import ReceiverClient
from transfer.connections.contract import SendCallbacks
from transfer.connections.opening import connected_socket
from transfer.connections.patience import Patience
from transfer.connections.requests import put_file
from transfer.pace.retrying import RetryPolicy
from transfer.source import Source
from transfer.wire.digest import chunk_digest
from transfer.wire.errors import LinkLost

TOKEN = "secret-token-0123456789"
NAME = "slow.example.org"
FREELY = SendCallbacks(grant=lambda left: left, on_sent=lambda _: None, check_stop=lambda: None)


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the lookup of one name last until the test is over; yield the names that were looked up."""
    over, asked, real = threading.Event(), list[str](), socket.getaddrinfo

    def lookup(host, *more, **named):
        asked.append(host)
        if host == NAME:
            over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield asked
    over.set()
    for thread in threading.enumerate():
        if thread.name == "cryoferry-lookup":
            thread.join()


def put(client: ReceiverClient, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    connection = client.new_connection()
    with Source(tmp_path / "empty") as source:
        connection.send(put_file("s", "empty", 1, source, chunk_digest(b"")), FREELY)
        connection.answer(lambda: None)


@pytest.mark.parametrize("proxy", ["", f"http://{NAME}:3128", f"socks5h://{NAME}:1080"])
@pytest.mark.parametrize("kind", ["control", "bulk"])
def test_a_name_that_is_not_found_costs_no_more_than_the_time_given(lookups, monkeypatch, tmp_path, kind, proxy):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setattr("transfer.pace.retrying.SHORTEST_SILENCE_S", 0.1)
    longest_s = 250  # of a client that is not told; far more than a busy machine takes for what is told
    url = "https://receiver.example.org" if proxy else f"https://{NAME}"
    with ReceiverClient(url, TOKEN, timeout_s=longest_s) as client:
        began_s = time.monotonic()
        with pytest.raises(LinkLost, match=f"{NAME} was not found within"):
            RetryPolicy(0.3, lambda: False).repeat(
                client.service if kind == "control" else lambda: put(client, tmp_path)
            )
        assert time.monotonic() - began_s < longest_s / 4
    assert lookups == [NAME]  # one thread waits, however often it is tried


def test_an_address_that_does_not_answer_leaves_time_for_the_next_one(monkeypatch):
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.2", listening.getsockname()[1]), backlog=0) as full,
        socket.create_connection(full.getsockname()),
    ):
        port = listening.getsockname()[1]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
        with connected_socket("two.example.org", port, 0.6, Patience(60)) as connected:
            assert connected.getpeername()[0] == "127.0.0.1"
