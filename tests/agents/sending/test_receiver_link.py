"""The receiver as the agent sees it: away, full, refusing; always waited for, always told."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from agents.commands.exposure_text import troubles
from agents.journal.journal import Journal
from agents.sending.receiver_link import LinkStopped, ReceiverLink
from tests.agents.agent_process import StartAgent, lay
from transfer.client import ReceiverClient
from transfer.wire.errors import AuthRejected, LinkLost, VersionMismatch
from transfer.wire.versions import SpokenVersions, mismatch


@pytest.fixture
def journal(tmp_path: Path):
    (tmp_path / "work").mkdir()
    journal = Journal(tmp_path / "work")
    yield journal
    journal.close()


def test_the_first_refusal_ends_a_later_one_is_waited_out(
    journal: Journal, receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = ReceiverClient(receiver.url, receiver.token()), ReceiverClient(receiver.url, "cf_wrong")
    with good, bad, caplog.at_level(logging.INFO):
        link = ReceiverLink(journal, threading.Event(), refused_wait_s=0.01)
        with pytest.raises(AuthRejected):
            link.persist(bad.sessions)
        link.persist(good.sessions)
        clients = iter((bad, bad, good))
        link.persist(lambda: next(clients).sessions())
    loud = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(loud) == 1  # once for a trouble, however long it lasts
    assert "AuthRejected" in loud[0].getMessage()
    assert link.trouble is None
    assert troubles(journal) == []


def test_a_receiver_that_becomes_too_old_is_waited_for(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """No exposure fails because somebody exchanged the receiver under a running agent."""
    error = mismatch(SpokenVersions("2.0.0", 3, 3), SpokenVersions("1.0.0", 1, 2))
    answers: list[str | VersionMismatch] = ["reached", error, error, "upgraded"]

    def request() -> str:
        answer = answers.pop(0)
        if isinstance(answer, VersionMismatch):
            raise answer
        return answer

    link = ReceiverLink(journal, threading.Event(), refused_wait_s=0.01)
    assert link.persist(request) == "reached"
    assert link.persist(request) == "upgraded"
    (loud,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the receiver is older" in loud.getMessage()
    answers.append(error)
    with pytest.raises(VersionMismatch):
        ReceiverLink(journal, threading.Event()).persist(request)


def test_what_is_wrong_is_told_until_the_agent_ends(journal: Journal) -> None:
    stop = threading.Event()
    link = ReceiverLink(journal, stop)
    ended: list[bool] = []
    with ReceiverClient("http://127.0.0.1:9", "token") as client:

        def wait() -> None:
            with pytest.raises(LinkStopped):
                link.persist(client.sessions)
            ended.append(True)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while link.trouble is None or not troubles(journal):
            stop.wait(0.01)
        assert LinkLost.__name__ in link.trouble[0]
        assert "receiver: LinkLost" in troubles(journal)[0]
        stop.set()
        waiting.join(10)
        assert ended == [True]


def test_a_full_receiver_is_waited_for_and_sending_continues(
    source: Path, simulated: Path, receiver_process: Any, start_agent: StartAgent
) -> None:
    token = receiver_process.token("agent", "s")
    receiver_process.options = ("--reserve-bytes", str(1 << 60))
    receiver_process.start()
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver_process.url, token)
    agent.wait_for(a_tiff="sending")
    agent.until(lambda: "ReceiverFull" in agent.log.read_text(), "the receiver is full")
    receiver_process.stop()
    receiver_process.options = ()
    receiver_process.start()
    agent.wait_for(a_tiff="released")
