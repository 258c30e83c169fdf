"""Floods of every kind at once, over TLS: requests of others are served, in bounded memory and descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
import trustme
from campaign import NoteFigures, in_length

from tests.conftest import ProcessReceiver
from tests.waiting import wait_until

SLOW, IDLE, UPLOADS = in_length(40, 500), in_length(40, 500), in_length(10, 200)
FLOODERS = in_length(1, 4)  # of each kind
NORMAL_ROUNDS = in_length(5, 100)
MOST_MEMORY_BYTES = 400 << 20
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


class TlsReceiver(ProcessReceiver):
    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


class Flood:
    """Threads that do something until the test is over; a connection that was ended is begun anew."""

    def __init__(self, receiver: TlsReceiver, trusting: ssl.SSLContext, token: str) -> None:
        self.receiver, self.trusting, self.token = receiver, trusting, token
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []
        self.held: list[socket.socket] = []

    def connect(self, *, tls: bool = True) -> socket.socket:
        link = socket.create_connection(("127.0.0.1", self.receiver.port), timeout=10)
        if not tls:
            return link
        with contextlib.ExitStack() as on_failure:
            on_failure.push(link)
            wrapped = self.trusting.wrap_socket(link, server_hostname="127.0.0.1")
            on_failure.pop_all()
        return wrapped

    def run(self, act: Callable[[], None], count: int) -> None:
        def again() -> None:
            while not self.over.is_set():
                with contextlib.suppress(OSError, httpx.HTTPError):  # refused, cut off, made room for
                    act()
                self.over.wait(0.01)

        for _ in range(count):
            self.threads.append(threading.Thread(target=again))
            self.threads[-1].start()

    def hold(self, count: int, beginning: bytes) -> None:
        """Open connections in clear text or TLS that then say nothing."""
        for number in range(count):
            with contextlib.suppress(OSError):
                self.held.append(link := self.connect(tls=bool(number % 2)))
                link.sendall(beginning)

    def trailers(self) -> None:
        with self.connect() as link:
            link.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
            while not self.over.is_set():
                link.sendall(b"X-Trailer: " + b"x" * 10_000 + b"\r\n")

    def json(self) -> None:
        with self.connect() as link:
            link.sendall(f"PUT /v1/sessions/s1/exposures/{uuid4()} HTTP/1.1\r\nHost: x\r\n".encode())
            link.sendall(b"Content-Type: application/json\r\nContent-Length: 4000000\r\n\r\n" + b"[" * 4_000_000)

    def records(self) -> None:
        with self.client() as client:
            client.put(f"/v1/sessions/s1/exposures/{uuid4()}", json={"movie": "x" * 3_800_000})

    def log(self) -> None:
        with self.connect() as link:
            link.sendall(b"\0nonsense\r\n\r\n")
            link.recv(1000)

    def upload(self) -> None:
        with self.client() as client:
            client.put(f"/v1/files/s1/flood/{uuid4()}", content=os.urandom(200_000))

    def client(self) -> httpx.Client:
        authorized = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=self.receiver.url, verify=self.trusting, headers=authorized, timeout=60, trust_env=False
        )

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()
        for link in self.held:
            link.close()


@pytest.fixture
def secure(tmp_path: Path):
    authority = trustme.CA()
    issued, cert, key = authority.issue_cert("127.0.0.1"), tmp_path / "cert.pem", tmp_path / "key.pem"
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(cert, append=number > 0)
    issued.private_key_pem.write_to_path(key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    receiver = TlsReceiver(tmp_path / "receiver", tmp_path / "receiver.log", options)
    receiver.start()
    yield receiver, trusting
    receiver.kill()


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process and those that it started have had resident, added up."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    lines = [Path(f"/proc/{one.pid}/status").read_text().splitlines() for one in processes]
    return sum(int(line.split()[1]) << 10 for status in lines for line in status if line.startswith("VmHWM"))


def normal_round(client: httpx.Client, number: int) -> list[float]:
    """Do what an agent and a reader do, and return how long each request took, in s."""
    taken_s = []
    for method, path, options in (
        ("GET", "/v1/sessions/s1", {}),
        ("PUT", f"/v1/files/s1/normal/{number}", {"content": os.urandom(50_000)}),
        ("GET", "/v1/sessions/s1/exposures", {}),
    ):
        began = time.monotonic()
        answer = client.request(method, path, **options)
        taken_s.append(time.monotonic() - began)
        assert answer.status_code in (200, 201), (path, answer.text[:300])
        if method == "PUT":
            assert "digest" in answer.json()  # the receipt
    return taken_s


def test_all_floods_at_once_leave_others_served(secure, note_figures: NoteFigures) -> None:
    receiver, trusting = secure
    process = receiver.process
    flood = Flood(receiver, trusting, receiver.token("agent", "s1"))
    taken_s: list[float] = []
    with flood.client() as client:
        assert client.put("/v1/sessions/s1").status_code == 201
    try:
        flood.run(flood.upload, UPLOADS)
        for act in (flood.trailers, flood.json, flood.records, flood.log):
            flood.run(act, FLOODERS)
        flood.hold(IDLE, b"")
        flood.hold(SLOW, HEAD)
        for number in range(NORMAL_ROUNDS):
            with flood.client() as client:  # connections of its own
                taken_s += normal_round(client, number)
        assert psutil.Process(process.pid).num_fds() < 5000
    finally:
        flood.end()
    peak = peak_bytes(process.pid)
    log_bytes = receiver.log.stat().st_size
    figures = {
        "ms_median": round(1000 * statistics.median(taken_s)),
        "ms_at_most": round(1000 * max(taken_s)),
        "MiB_of_memory_at_most": peak >> 20,
        "bytes_of_log": log_bytes,
    }
    note_figures(**figures)
    print(figures)  # noqa: T201 - for the curious
    assert peak < MOST_MEMORY_BYTES
    assert log_bytes < 200_000
    with flood.client() as client:
        wait_until(lambda: client.get("/healthz").status_code == 200, "the receiver's health")
