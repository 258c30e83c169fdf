"""SIGTERM and SIGINT end `cryoferry watch` within 5 s, whatever hangs; the next start goes on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.agent_process import AgentProcess, StartAgent, lay
from transfer.client import ReceiverClient

LATEST_S = 40.0  # a busy machine's share; what is not bounded waits 60 s for the receiver, or for ever for a share
FORCED = "did not end within 4 s"


class SilentRelay:
    """Passes a receiver's connections on; once it is silent, requests still arrive there, and no answer comes back.

    It becomes silent before it passes on the first request that contains `silent_at`.
    """

    def __init__(self, port: int) -> None:
        self.silent_at = b""
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.is_silent, self.has_swallowed = threading.Event(), threading.Event()
        self._open = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            receiver = socket.create_connection(self._to)
            self._open += [client, receiver]
            for one, other, is_answer in ((client, receiver, False), (receiver, client, True)):
                self._threads.append(threading.Thread(target=self._pass_on, args=(one, other, is_answer)))
                self._threads[-1].start()

    def _pass_on(self, one: socket.socket, other: socket.socket, is_answer: bool) -> None:
        try:
            while block := one.recv(1 << 16):
                if not is_answer and self.silent_at and self.silent_at in block:
                    self.is_silent.set()
                if is_answer and self.is_silent.is_set():
                    self.has_swallowed.set()
                else:
                    other.sendall(block)
            if not is_answer:
                other.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()


@pytest.fixture
def relay(receiver: Any) -> Iterator[SilentRelay]:
    made = SilentRelay(receiver.port)
    yield made
    made.close()


def ended_in_s(agent: AgentProcess, *numbers: int) -> tuple[int, float]:
    """Send signals, and return the exit code and how long the end took."""
    began_s = time.monotonic()
    for number in numbers:
        agent.process.send_signal(number)
        time.sleep(0.2)
    code = agent.wait()
    return code, time.monotonic() - began_s


def children(agent: AgentProcess) -> list[int]:
    """Return the processes that an agent started: its worker, and the one that reads the share."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if stat.read_text().rpartition(")")[2].split()[1] == str(agent.process.pid):
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def test_a_receiver_that_never_answers_delays_no_end_and_nothing_is_sent_twice(
    source: Path, simulated: Path, receiver: Any, relay: SilentRelay, start_agent: StartAgent
) -> None:
    """The receiver has the record, and the agent never learns it."""
    token = receiver.token("agent", "s")
    lay(simulated / "0.tiff", source / "a.tiff")
    relay.silent_at = b"PUT /v1/sessions/s/exposures/"
    agent = start_agent(relay.url, token)
    with ReceiverClient(receiver.url, token) as client:
        agent.until(relay.has_swallowed.is_set, "the record was sent")
        assert agent.states() == {"a.tiff": ("sending", 1)}
        code, took_s = ended_in_s(agent, signal.SIGTERM)
        assert (code, took_s <= LATEST_S) == (0, True), (took_s, agent.log.read_text())
        assert FORCED in agent.log.read_text()
        agent = start_agent(receiver.url, token, "--exit-when-idle", "0.5")
        assert agent.wait() == 0
        (exposure,) = client.exposures("s").exposures
        assert exposure.record.revision == 1
        assert {file.revision for file in exposure.record.files} == {1}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_the_agent_at_once(
    source: Path, receiver: Any, relay: SilentRelay, start_agent: StartAgent, number: int, code: int
) -> None:
    relay.is_silent.set()
    agent = start_agent(relay.url, receiver.token("agent", "s"))
    agent.until(agent.has_begun, "it begins")
    assert relay.has_swallowed.wait(30)
    ended, _ = ended_in_s(agent, number, number)
    log = agent.log.read_text()
    assert ended == code, log
    assert "another signal came" in log
    assert FORCED not in log  # it did not wait for the end that one signal brings


def test_a_worker_and_a_reader_that_do_not_react_delay_no_end(
    source: Path, simulated: Path, receiver: Any, start_agent: StartAgent
) -> None:
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver.url, receiver.token("agent", "s"))
    agent.wait_for(a_tiff="finished")
    stopped = children(agent)
    assert len(stopped) == 2
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    code, took_s = ended_in_s(agent, signal.SIGTERM)
    assert (code, took_s <= LATEST_S) == (0, True), (took_s, agent.log.read_text())
    agent = start_agent(receiver.url, receiver.token("agent", "s"))
    agent.wait_for(a_tiff="released")
