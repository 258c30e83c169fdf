"""`cryoferry status --check`: each thing that can be missing, made on real files, journals and receivers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from agents.commands.discrepancy import MOST_NAMED
from agents.finding.finding_rules import FINDING_RULES, FindingRules, rules_from_note
from agents.journal.opening import NAME
from agents.work_folder import WorkLock
from api.store.deletion import delete_exposure
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from preprocess.layouts import LAYOUTS
from tests.agents.agent_process import listing
from tests.running import cryoferry_here
from transfer.client import ReceiverClient
from transfer.wire.agent_status import AgentStatus
from transfer.wire.digest import chunk_digest, format_content_digest
from transfer.wire.exposure_record import ExposureRecord, FileRole

SENT, WAITING = 4, 2
FILES = {FileRole.MICROGRAPH: (".mrc", 100)}
CONTENT = bytes(100)
RULES = FindingRules(layout=LAYOUTS["auto"].choosing(["*_fractions.*"], ["tests/*"]), scan_s=0.1)

Check = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Agent:
    """The work folder and the source of an agent that has sent some exposures, and has ended."""

    work: Path
    source: Path
    session: FilledSession
    records: list[ExposureRecord]

    def movie(self, number: int) -> str:
        return self.session.movie(number)

    def change(self, statement: str, *values: object) -> None:
        """Change the journal behind the agent's back."""
        database = sqlite3.connect(self.work / NAME)
        with database:
            assert database.execute(statement, values).rowcount == 1
        database.close()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    return filled(tmp_path_factory.mktemp("ended"), "s", {})


def filled(folder: Path, name: str, about: dict[str, str]) -> Agent:
    session = FilledSession(
        exposure_count=SENT + WAITING, failed_every=0, held_every=0, waiting_count=WAITING, files=FILES, session=name
    )
    agent = Agent(folder / "work", folder / "source", session, [])
    notes = {FINDING_RULES: RULES.as_note(), **about}
    fill_journal(agent.work, session, source=agent.source, publish=agent.records.append, about=notes)
    return agent


@pytest.fixture
def agent(ended: Agent, tmp_path: Path) -> Agent:
    """Return a copy that a test may damage; its receiver is not known."""
    for name in ("work", "source"):
        shutil.copytree(ended.work.parent / name, tmp_path / name)
    own = Agent(tmp_path / "work", tmp_path / "source", ended.session, ended.records)
    own.change("UPDATE about SET value = ? WHERE key = 'source'", str(own.source))
    return own


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Return a function that runs `cryoferry status --check` of an agent."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("CRYOFERRY_TOKEN", "cf_none")

    def run(agent: Agent, *options: str) -> subprocess.CompletedProcess[str]:
        before = listing(agent.source)
        done = cryoferry_here(monkeypatch, capsys, "status", "--work", agent.work, "--check", *options)
        assert listing(agent.source) == before
        return done

    return run


def told(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return the objects by what was found; the one about the whole as `whole`."""
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    return {one.get("check", "whole"): one for one in objects}


# ---- the source and the journal


def test_nothing_is_missing_where_each_file_is_an_exposure_or_is_skipped(agent: Agent, check: Check) -> None:
    (agent.source / "tests").mkdir()
    shutil.copy(agent.source / agent.movie(1), agent.source / "tests/a_fractions.tiff")
    (agent.source / "linked_fractions.tiff").symlink_to(agent.source / agent.movie(2))
    (agent.source / "notes.txt").touch()
    (agent.source / agent.movie(1)).unlink()  # it was released
    (agent.source / "odd_fractions.tiff").touch()
    odd = {"unexpected ValueError: odd": {"count": 1, "examples": ["odd_fractions.tiff"]}}
    agent.change("INSERT INTO about VALUES ('skipped', ?)", json.dumps(odd))  # it could not be entered
    done = check(agent)
    assert done.returncode == 0, done.stdout
    assert "source    movies: 6, in the journal: 5, deleted or moved after they were sent: 1\n" in done.stdout
    assert "1 × a link to what is found at its own place" in done.stdout
    assert "1 × unexpected ValueError: odd" in done.stdout
    assert "not compared: no receiver is known: give --to URL" in done.stdout
    assert done.stdout.endswith("Nothing is missing of what was compared.\n")
    assert "wait for `cryoferry watch`" not in done.stdout
    assert "waits for `cryoferry watch`" not in done.stdout


def test_movies_that_nobody_entered_wait_or_are_an_alarm_while_an_agent_runs(agent: Agent, check: Check) -> None:
    agent.change("DELETE FROM exposures WHERE movie = ?", agent.movie(3))
    for number in range(MOST_NAMED):
        (agent.source / f"new{number:02}_fractions.tiff").write_bytes(b"II")
    done = check(agent)
    assert done.returncode == 0, done.stdout
    assert f"11 movies wait for `cryoferry watch`: {agent.movie(3)}, new00_fractions.tiff, " in done.stdout
    assert "new08_fractions.tiff, …; start it" in done.stdout
    for new in agent.source.glob("new*"):
        new.unlink()
    with WorkLock(agent.work):  # an agent that runs, and scans no more
        done = check(agent)
    assert done.returncode == 6
    assert "1 movie lies in the source, and the running agent has not entered it after 3 scans: " in done.stdout
    assert agent.movie(3) in done.stdout
    assert "look at the agent's log" in done.stdout


def test_a_movie_that_is_gone_before_its_exposure_was_sent_is_an_alarm(agent: Agent, check: Check) -> None:
    gone = agent.movie(SENT + 1)
    (agent.source / gone).unlink()
    done = told(check(agent, "--json"))
    assert done["gone-before-release"]["movies"] == [gone]
    assert (done["whole"]["alarms"], done["whole"]["movies"], done["whole"]["entered"]) == (1, 5, 5)


def test_a_source_that_cannot_be_read_is_said(agent: Agent, check: Check) -> None:
    agent.source.rename(agent.source.with_name("elsewhere"))
    agent.source.touch()
    done = check(agent)
    assert done.returncode == 4
    assert "the source cannot be compared with the journal: " in done.stdout
    assert "Mount the microscope's share" in done.stdout


def test_what_cannot_be_checked_is_refused(agent: Agent, check: Check) -> None:
    done = check(agent, "--failed")
    assert (done.returncode, "Give it without filters" in done.stderr) == (2, True)
    agent.change("DELETE FROM about WHERE key = ?", FINDING_RULES)
    assert "start `cryoferry watch` once" in check(agent).stdout


def test_the_rules_are_kept_in_the_journal() -> None:
    assert rules_from_note(RULES.as_note()) == RULES
    assert rules_from_note(None) is None


# ---- the journal and the receiver


@pytest.fixture
def sent(shared_receiver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Check) -> Agent:
    """Return an agent whose exposures a receiver has."""
    name = f"check-{tmp_path.name}"
    agent = filled(tmp_path, name, {"url": shared_receiver.url})
    token = shared_receiver.token("agent", name)
    monkeypatch.setenv("CRYOFERRY_TOKEN", token)
    digest = format_content_digest("blake3", chunk_digest(CONTENT))
    headers = {"Authorization": f"Bearer {token}", "Content-Digest": digest}
    with ReceiverClient(shared_receiver.url, token) as client, httpx.Client(base_url=shared_receiver.url) as http:
        client.open_session(name)
        for record in agent.records:
            http.put(f"/v1/files/{name}/{record.files[0].path}", content=CONTENT, headers=headers).raise_for_status()
            client.publish(name, record)
    return agent


def test_what_the_receiver_and_the_journal_do_not_share_is_named(
    sent: Agent, shared_receiver: Any, check: Check
) -> None:
    sound = check(sent)
    assert sound.stdout.endswith("receiver  sent: 4, listed there: 4\nNothing is missing.\n")
    receiver = shared_receiver.app.state.receiver
    ids = [record.exposure_id for record in sent.records]
    delete_exposure(receiver.database, receiver.storage, sent.session.session, ids[0], "wrong grid")
    on_purpose = check(sent)
    assert on_purpose.returncode == 0, on_purpose.stdout
    assert "receiver  sent: 4, listed there: 3, deleted there on purpose: 1\n" in on_purpose.stdout

    path = shared_receiver.data / "receiver.sqlite"
    with outbox_without(path, ids[3]):
        found = told(check(sent, "--json"))
    assert found["not-in-outbox"]["movies"] == [sent.movie(4)]
    assert "registrar relion was not told of it" in found["not-in-outbox"]["text"]
    assert "not in the outbox of registrar relion" in found["does-not-add-up"]["text"]

    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM events WHERE kind = 'exposure-deleted' AND subject = ?", (str(ids[0]),))
    database.close()
    sent.change("UPDATE exposures SET revision = 2 WHERE movie = ?", sent.movie(2))
    sent.change("DELETE FROM exposures WHERE movie = ?", sent.movie(3))
    done = check(sent, "--json")
    found = told(done)
    assert done.returncode == 6
    assert found["not-at-receiver"]["movies"] == [sent.movie(1)]
    assert found["older-at-receiver"]["movies"] == [sent.movie(2)]
    assert found["not-known-here"]["movies"] == [sent.movie(3)]
    assert found["not-known-here"]["alarm"] is True
    assert found["waits-for-watch"]["movies"] == [sent.movie(3)]

    other = AgentStatus(host="scope2", version="1.2.3", started_at=datetime.now(UTC))
    with ReceiverClient(shared_receiver.url, os.environ["CRYOFERRY_TOKEN"]) as client:
        client.report_status(sent.session.session, UUID(int=2), other)
    found = told(check(sent, "--json"))
    assert found["not-known-here"]["alarm"] is False
    assert found["whole"]["alarms"] == len(found) - 3  # the whole, what waits, and what the other one may have sent


@contextmanager
def outbox_without(database: Path, exposure_id: UUID) -> Iterator[None]:
    """Take an exposure out of the registrars' outbox for a time."""
    which = "exposure = (SELECT id FROM exposures WHERE exposure_id = ?)"
    with closing(sqlite3.connect(database)) as opened:
        (row,) = opened.execute(f"SELECT * FROM registrations WHERE {which}", (exposure_id.hex,)).fetchall()
        with opened:
            assert opened.execute("DELETE FROM registrations WHERE id = ?", (row[0],)).rowcount == 1
        yield
        with opened:
            opened.execute(f"INSERT INTO registrations VALUES ({', '.join('?' * len(row))})", row)
