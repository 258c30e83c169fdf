"""Floods of every kind at once, over TLS: requests of others are served, in bounded memory and descriptors."""

from __future__ import annotations

import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme
from campaign import IS_LONG, NoteFigures, in_length

from tests.conftest import ProcessReceiver
from tests.records import record_of_files

COUNTS = {
    "uploads": in_length(10, 200),
    "idle": in_length(40, 500),
    "slow": in_length(40, 500),
    **dict.fromkeys(("trailers", "json", "records", "log"), in_length(1, 4)),
}
NORMAL_ROUNDS = in_length(5, 20)
MOST_MEMORY_BYTES = 400 << 20
MOST_TAKEN_S = 2.0


class TlsReceiver(ProcessReceiver):
    is_copied = False

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


class Flooding:
    """The process that floods a receiver, from when all its uploads run."""

    def __init__(self, receiver: TlsReceiver, ca: Path, plan: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "tests.faults.flooding"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"port": receiver.port, "ca": str(ca), **plan}) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "flooding\n"

    def end(self) -> dict[str, int]:
        """End it, and return what it did."""
        done: dict[str, int] = json.loads(self._process.communicate("", 60)[0])
        return done

    def kill(self) -> None:
        """End it, however the test went."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def secure(tmp_path: Path):
    authority = trustme.CA()
    issued, cert, key = authority.issue_cert("127.0.0.1"), tmp_path / "cert.pem", tmp_path / "key.pem"
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(cert, append=number > 0)
    issued.private_key_pem.write_to_path(key)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    receiver = TlsReceiver(tmp_path / "receiver", tmp_path / "receiver.log", options)
    receiver.start()
    yield receiver, ca
    receiver.kill()


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process and those that it started have had resident, added up."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    lines = [Path(f"/proc/{one.pid}/status").read_text().splitlines() for one in processes]
    return sum(int(line.split()[1]) << 10 for status in lines for line in status if line.startswith("VmHWM"))


def normal_round(client: httpx.Client, number: int, taken_s: dict[str, list[float]]) -> None:
    """Do what an agent and a reader do, and note how long each request took, in s."""
    for kind, method, path, options in (
        ("status", "GET", "/v1/sessions/s1", {}),
        ("upload", "PUT", f"/v1/files/s1/normal/{number}", {"content": os.urandom(50_000)}),
        ("list", "GET", "/v1/sessions/s1/exposures", {}),
    ):
        began = time.monotonic()
        answer = client.request(method, path, **options)
        taken_s.setdefault(kind, []).append(time.monotonic() - began)
        assert answer.status_code in (200, 201), (path, answer.text[:300])
        if method == "PUT":
            assert "digest" in answer.json()  # the receipt


def client_of(receiver: TlsReceiver, ca: Path, token: str) -> httpx.Client:
    authorized, trusting = {"Authorization": f"Bearer {token}"}, ssl.create_default_context(cafile=str(ca))
    return httpx.Client(base_url=receiver.url, verify=trusting, headers=authorized, timeout=60, trust_env=False)


def test_all_floods_at_once_leave_others_served(secure, note_figures: NoteFigures) -> None:
    receiver, ca = secure
    tokens = [receiver.token("agent", "s1") for _ in range(2)]
    taken_s: dict[str, list[float]] = {}
    with client_of(receiver, ca, tokens[1]) as client:
        assert client.put("/v1/sessions/s1").status_code == 201
        receipt = client.put("/v1/files/s1/a.mrc", content=b"a").json()
        normal_round(client, NORMAL_ROUNDS, {})
    record = record_of_files("", [receipt])
    flooding = Flooding(receiver, ca, {"token": tokens[0], "record": record, "counts": COUNTS})
    try:
        for number in range(NORMAL_ROUNDS):
            with client_of(receiver, ca, tokens[1]) as client:  # connections of its own
                normal_round(client, number, taken_s)
        assert psutil.Process(receiver.process.pid).num_fds() < 5000
        peak = peak_bytes(receiver.process.pid)
        done = flooding.end()
    finally:
        flooding.kill()
    log_bytes = receiver.log.stat().st_size
    figures = {f"ms_median_{kind}": round(1000 * statistics.median(each)) for kind, each in taken_s.items()}
    figures |= {f"ms_at_most_{kind}": round(1000 * max(each)) for kind, each in taken_s.items()}
    figures |= {"MiB_of_memory_at_most": peak >> 20, "bytes_of_log": log_bytes, **done}
    note_figures(**figures)
    print(figures)  # noqa: T201 - for the curious
    assert peak < MOST_MEMORY_BYTES
    assert log_bytes < 200_000
    if IS_LONG:
        assert max(map(max, taken_s.values())) < MOST_TAKEN_S
        assert done["records of 0.2 MB answered 201"]
        assert done["records of 3.8 MB answered 413"]
