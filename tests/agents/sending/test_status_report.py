"""What the agent reports of itself, and what people may ask of it, against a real receiver."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from agents.journal.journal import Journal
from agents.journal.states import PAUSED, State
from agents.measurements import Measurements
from agents.sending.lease import SessionLease
from agents.sending.receiver_memory import ReceiverMemory
from agents.sending.status_report import Requests, StatusReport, agent_id
from agents.watch_settings import WatchSettings
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import AUTO
from preprocess.settings import AlignmentSettings
from tests.agents.agent_process import StartAgent, lay
from tests.running import cryoferry
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.pace.pacer import pacer_of
from transfer.wire.agent_status import AgentRequest, AgentRequests, AgentStatus, RequestOutcome
from transfer.wire.errors import LinkLost, NotFound
from transfer.wire.versions import NEWEST_PROTOCOL

SESSION = "s"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    (tmp_path / "work").mkdir()
    journal = Journal(tmp_path / "work")
    yield journal
    journal.close()


def report_of(journal: Journal, client: ReceiverClient, work: Path, *, every_s: float = 0.05) -> StatusReport:
    settings = WatchSettings(
        source=work.parent,
        work=work,
        session=SESSION,
        layout=AUTO,
        chosen=ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition()),
        connections=3,
        pacer=pacer_of("40MB/s"),
        work_reserve_bytes=7,
    )
    return StatusReport(
        settings,
        journal,
        client,
        Measurements(),
        Requests(journal, None),
        lease=SessionLease(journal),
        memory=ReceiverMemory(journal, SESSION, threading.Event()),
        sent_bytes=lambda: 0,
        every_s=every_s,
    )


class People:
    """An admin at the receiver."""

    def __init__(self, receiver: Any) -> None:
        headers = {"Authorization": f"Bearer {receiver.token('admin')}"}
        self._http = httpx.Client(base_url=f"{receiver.url}/v1/sessions/{SESSION}", headers=headers)

    def agent(self) -> dict[str, Any]:
        """Return what the receiver knows of the only agent; nothing before its first report."""
        answer = self._http.get("/agents")
        known = answer.json()["agents"] if answer.status_code == 200 else []
        assert len(known) <= 1
        return known[0] if known else {}

    def post(self, kind: str, exposure_id: str | None = None) -> str:
        """Ask something of the agent, and return the request's id."""
        wanted = {"kind": kind} | ({} if exposure_id is None else {"exposure_id": exposure_id})
        answer = self._http.post(f"/agents/{self.agent()['agent']}/requests", json=wanted)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def ask(self, kind: str, exposure_id: str | None = None) -> dict[str, Any]:
        """Ask something of the agent, and return the request once the agent has confirmed it."""
        request_id = self.post(kind, exposure_id)

        def confirmed() -> dict[str, Any] | None:
            found = {request["id"]: request for request in self.agent()["requests"]}[request_id]
            return found if found["outcome"] else None

        return wait_until(confirmed, f"{kind} is confirmed")  # type: ignore[return-value]

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def people(receiver: Any) -> Iterator[People]:
    people = People(receiver)
    yield people
    people.close()


def test_a_report_says_how_the_agent_is(journal: Journal, receiver: Any, people: People, tmp_path: Path) -> None:
    journal.note(work_full="too little space is left")
    exposure = journal.find("a.tif", "a", "a")
    journal.change(exposure.exposure_id, State.FAILED, "x" * 5000, "copy it again")
    journal.find("b.tif", "b", "b")
    with ReceiverClient(receiver.url, receiver.token("agent", SESSION)) as client:
        client.open_session(SESSION)
        report_of(journal, client, tmp_path / "work").report_once()
    known = people.agent()
    status = known["status"]
    assert UUID(known["agent"]) == agent_id(journal)
    assert status["counts"]["failed"] == status["counts"]["found"] == 1
    assert status["queues"] == {"align": 0, "send": 0}
    assert status["disk"]["work_free_bytes"] > 0
    assert status["disk"]["work_reserve_bytes"] == 7
    assert status["limits"] == {"upload_bytes_per_s": 40e6, "connections": 3}
    assert status["troubles"] == ["too little space is left"]
    assert status["last_error"]["text"].startswith("a.tif: xxx")
    assert status["paused"] is False
    assert status["host"]
    assert status["version"]
    assert status["protocol"] == NEWEST_PROTOCOL


def test_the_agents_id_belongs_to_its_work_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    first = agent_id(journal)
    assert agent_id(journal) == first
    journal.close()
    journal = Journal(tmp_path)
    assert agent_id(journal) == first
    journal.close()


def test_a_request_is_done_once_and_confirmed_until_a_report_is_answered(journal: Journal) -> None:
    done: list[UUID] = []
    retry = AgentRequest(id=uuid4(), kind="retry", exposure_id=uuid4())
    requests = Requests(journal, lambda exposure_id: done.append(exposure_id) or "")
    requests.act(retry)
    requests.act(retry)  # the receiver repeats it until it is confirmed
    Requests(journal, lambda exposure_id: done.append(exposure_id) or "").act(retry)  # after a restart
    assert done == [retry.exposure_id]
    (confirmation,) = requests.unconfirmed()
    assert (confirmation.id, confirmation.outcome) == (retry.id, RequestOutcome.DONE)
    requests.confirmed([confirmation])
    assert requests.unconfirmed() == []
    requests.act(retry)  # the receiver lost the confirmation, for example with its database
    assert [c.id for c in requests.unconfirmed()] == [retry.id]
    assert done == [retry.exposure_id]


def test_what_fails_half_way_is_not_kept_as_answered(journal: Journal) -> None:
    exposure = journal.find("a.tif", "a", "a")
    journal.change(exposure.exposure_id, State.FAILED, "unreadable")

    def fail(exposure_id: UUID) -> str:
        journal.begin_again(exposure_id, "tried again")
        raise OSError("the disk went away")

    request = AgentRequest(id=uuid4(), kind="retry", exposure_id=exposure.exposure_id)
    with pytest.raises(OSError, match="went away"):
        Requests(journal, fail).act(request)
    assert Requests(journal, fail).unconfirmed() == []
    assert journal.exposure(exposure.exposure_id).state == State.FAILED


@pytest.mark.parametrize(
    ("kind", "takes_requests", "reason"),
    [
        ("delete-everything", True, "does not know the request 'delete-everything'"),
        ("retry", True, "names no exposure"),
        ("pause", False, "--no-remote-requests"),
        ("retry", False, "--no-remote-requests"),
    ],
)
def test_other_requests_are_refused_with_the_reason(
    journal: Journal, kind: str, takes_requests: bool, reason: str
) -> None:
    requests = Requests(journal, (lambda _: "") if takes_requests else None)
    requests.act(AgentRequest(id=uuid4(), kind=kind))
    (confirmation,) = requests.unconfirmed()
    assert confirmation.outcome == RequestOutcome.REFUSED
    assert reason in confirmation.reason
    assert journal.about(PAUSED) is None


def test_pause_and_resume_are_noted_and_survive_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    Requests(journal, lambda _: "").act(AgentRequest(id=uuid4(), kind="pause"))
    journal.close()
    journal = Journal(tmp_path)
    assert journal.about(PAUSED) is not None
    Requests(journal, lambda _: "").act(AgentRequest(id=uuid4(), kind="resume"))
    assert journal.about(PAUSED) is None
    journal.close()


def test_a_receiver_that_is_away_or_old_is_no_trouble(
    journal: Journal, receiver: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ReceiverClient("http://127.0.0.1:9", "token", timeout_s=1) as client:
        report = report_of(journal, client, tmp_path / "work")
        with pytest.raises(LinkLost):
            report.report_once()
        tried = threading.Event()
        with caplog.at_level("DEBUG", logger="agents"):
            report.start()
            wait_until(lambda: "status report failed" in caplog.text, "the failure is noted")
            tried.wait(0.2)  # several more reports fail
            report.stop(final=False)
    assert caplog.text.count("status report failed") == 1
    assert {record.levelname for record in caplog.records if record.name.startswith("agents")} == {"DEBUG"}
    assert journal.about("receiver_trouble") is None
    with ReceiverClient(receiver.url, receiver.token("agent", SESSION)) as client, pytest.raises(NotFound):
        report_of(journal, client, tmp_path / "work").report_once()  # 404, as an old receiver answers


@pytest.mark.parametrize("final", [True, False])
def test_a_final_report_says_how_the_agent_ended(
    journal: Journal, receiver: Any, people: People, tmp_path: Path, final: bool
) -> None:
    with ReceiverClient(receiver.url, receiver.token("agent", SESSION)) as client:
        client.open_session(SESSION)
        report = report_of(journal, client, tmp_path / "work", every_s=3600)
        report.start()
        wait_until(people.agent, "the first report")
        journal.find("a.tif", "a", "a")
        report.stop(final=final)
    assert people.agent()["status"]["counts"]["found"] == (1 if final else 0)


def test_a_final_report_leaves_requests_to_the_next_run(
    journal: Journal, receiver: Any, people: People, tmp_path: Path
) -> None:
    with ReceiverClient(receiver.url, receiver.token("agent", SESSION)) as client:
        client.open_session(SESSION)
        report = report_of(journal, client, tmp_path / "work")
        report.report_once()
        people.post("pause")
        report.report_once(act=False)
        assert journal.requests.unconfirmed(1) == []
        report.report_once()
        assert len(journal.requests.unconfirmed(1)) == 1


class CountingClient(ReceiverClient):
    """A client that counts the reports that it was given."""

    reports = 0

    def report_status(self, session: str, agent: UUID, status: AgentStatus) -> AgentRequests:
        """Count a report and send it."""
        self.reports += 1
        return super().report_status(session, agent, status)


def test_no_final_report_is_sent_over_a_lost_link(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with CountingClient("http://127.0.0.1:9", "token", timeout_s=1) as client:
        report = report_of(journal, client, tmp_path / "work", every_s=3600)
        with caplog.at_level("DEBUG", logger="agents"):
            report.start()
            wait_until(lambda: "status report failed" in caplog.text, "the failure is noted")
        report.stop(final=True)
        assert client.reports == 1


def test_an_agent_that_ends_has_reported_its_end(
    source: Path, simulated: Path, receiver: Any, people: People, start_agent: StartAgent
) -> None:
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver.url, receiver.token("agent", SESSION), "--exit-when-idle", "0.5")
    assert agent.wait() == 0
    assert people.agent()["status"]["counts"]["released"] == 1


def test_an_admin_pauses_resumes_and_retries_a_running_agent(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, people: People, start_agent: StartAgent
) -> None:
    work = tmp_path / "work"
    (source / "cut.mrc").touch()
    token = receiver.token("agent", SESSION)
    agent = start_agent(receiver.url, token, "--give-up-seconds", "1")
    agent.wait_for(cut_mrc="failed")
    wait_until(lambda: people.agent().get("status", {}).get("counts", {}).get("failed"), "the failure is reported")
    assert people.ask("pause")["outcome"] == "done"
    assert people.agent()["status"]["paused"] is True
    paused = cryoferry("status", "--work", str(work), CRYOFERRY_TOKEN=token)
    assert "paused" in paused.stdout + paused.stderr
    lay(simulated / "0.tiff", source / "a.tiff")
    agent.wait_for(a_tiff="finished")
    # a restarted agent is still paused
    assert agent.end(signal.SIGTERM) == 0
    agent = start_agent(receiver.url, token, "--give-up-seconds", "1")
    agent.until(lambda: "the agent is paused" in agent.log.read_text(), "the log says so")
    assert people.ask("retry", str(uuid4()))["outcome"] == "refused"
    cut = Journal(work, create=False)
    (failed,) = cut.exposures([State.FAILED])
    finished = [exposure.movie for exposure in cut.exposures([State.FINISHED])]
    cut.close()
    assert finished == ["a.tiff"]
    (source / "cut.mrc").write_bytes((simulated / "1.mrc").read_bytes())
    assert people.ask("resume")["outcome"] == "done"
    agent.wait_for(a_tiff="released", cut_mrc="released")
    again = people.ask("retry", str(failed.exposure_id))
    assert again["outcome"] == "refused"
    assert "done already" in again["reason"]
    wait_until(lambda: people.agent()["status"]["counts"]["released"] == 2, "the end is reported")
    assert people.agent()["status"]["stage_seconds"].keys() == {"align", "send"}
    assert agent.end(signal.SIGTERM) == 0


def test_an_agent_without_remote_requests_refuses_them_and_ends_a_pause(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, people: People, start_agent: StartAgent
) -> None:
    (tmp_path / "work").mkdir()
    journal = Journal(tmp_path / "work")
    journal.note(**{PAUSED: "by somebody"})
    journal.close()
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver.url, receiver.token("agent", SESSION), "--no-remote-requests")
    agent.wait_for(a_tiff="released")
    wait_until(people.agent, "the first report")
    refused = people.ask("pause")
    assert refused["outcome"] == "refused"
    assert "--no-remote-requests" in refused["reason"]
    assert people.agent()["status"]["paused"] is False
    assert agent.end(signal.SIGTERM) == 0
