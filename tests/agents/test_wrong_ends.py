"""A real agent whose link ends at the wrong thing for a while, then at its receiver: no exposure fails, all arrive.

`status` says meanwhile what is wrong and what to do.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from scripted_server import scripted

from tests.agents.agent_process import AgentProcess, StartAgent, lay
from tests.running import cryoferry_here
from tests.waiting import wait_until
from transfer.client import ReceiverClient

SESSION = "s"


class Switch:
    """A port whose connections go to another port, which can be changed."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._links: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._start(self._accept)

    def to(self, target: int) -> None:
        """Send new connections to another port, and end those that are open."""
        self._target = target
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._target = 0
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._threads[0].join()
        self.to(0)
        for thread in self._threads:
            thread.join()
        for link in (*self._links, self._listening):
            link.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            self._links.append(near)
            if not self._target:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._links.append(far)
            self._start(_pass, near, far)
            self._start(_pass, far, near)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def over_tls(receiver: str, authority: trustme.CA) -> Iterator[int]:
    """Serve a receiver with TLS and yield the port."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with httpx.Client(base_url=receiver, trust_env=False, timeout=30) as behind:

        def answer(request: tuple[str, str, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
            method, path, headers, body = request
            told = behind.request(method, path, headers=headers, content=body)
            kept = {name: text for name, text in told.headers.items() if name not in ("content-length", "date")}
            return told.status_code, kept, told.content

        with scripted(answer, tls=tls) as (url, _):
            yield int(url.rpartition(":")[2])


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[AgentProcess, str], str]:
    """Return a function that waits until `status` tells something, and returns all that it tells."""

    def status() -> str:
        done = cryoferry_here(monkeypatch, capsys, "status", "--work", tmp_path / "work")
        return " ".join((done.stdout + done.stderr).split())

    def wait(agent: AgentProcess, text: str) -> str:
        agent.until((tmp_path / "work").exists, "its work folder")
        wait_until(
            lambda: text in status(),
            lambda: f"{text}; status: {status()}; log: {agent.log.read_text()}",
            alive=lambda: agent.process.poll() is None,
        )
        return status()

    return wait


def check_all_arrived(agent: AgentProcess, receiver: Any, names: set[str]) -> None:
    agent.until(lambda: all(agent.states().get(name) == ("released", 1) for name in names), "every movie")
    assert agent.end() == 0
    assert not [line for line in agent.lines if line.get("state") in ("failed", "held")], agent.log.read_text()
    assert "Traceback" not in agent.log.read_text()
    with ReceiverClient(receiver.url, receiver.token("agent", SESSION)) as client:
        assert {exposure.record.movie for exposure in client.exposures(SESSION).exposures} == names


def test_plain_http_then_another_authority_then_its_certificate_is_trusted(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent, told: Any
) -> None:
    trusted, other = trustme.CA(), trustme.CA()
    ca = tmp_path / "ca.pem"
    trusted.cert_pem.write_to_path(str(ca))
    with over_tls(receiver.url, other) as secure, ExitStack() as closed:
        switch = Switch(receiver.port)
        closed.callback(switch.close)
        lay(simulated / "0.tiff", source / "0.tiff")
        url = f"https://127.0.0.1:{switch.port}"
        agent = start_agent(url, receiver.token("agent", SESSION), "--ca", str(ca))
        assert "Check the URL: http:// or https://" in told(agent, "does not speak TLS")
        switch.to(secure)
        assert "with --ca FILE" in told(agent, "receiver: CertificateRejected")
        other.cert_pem.write_to_path(str(ca))
        check_all_arrived(agent, receiver, {"0.tiff"})


def test_tls_where_none_is_expected_then_a_wrong_token_then_the_right_one(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent, told: Any
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("cf_wrong_" + "0" * 40)
    with over_tls(receiver.url, trustme.CA()) as secure, ExitStack() as closed:
        switch = Switch(secure)
        closed.callback(switch.close)
        lay(simulated / "2.tiff", source / "2.tiff")
        agent = start_agent(f"http://127.0.0.1:{switch.port}", "", "--token-file", str(token_file))
        told(agent, "receiver: ")
        switch.to(receiver.port)
        assert f"write it into {token_file}" in told(agent, "receiver: AuthRejected")
        token_file.write_text(receiver.token("agent", SESSION))
        check_all_arrived(agent, receiver, {"2.tiff"})
