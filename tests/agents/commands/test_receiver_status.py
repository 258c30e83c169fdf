"""`cryoferry status` and the receiver: from any machine with a token, and beside the agent's journal."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import mrcfile
import numpy as np
import pytest

from agents.commands import receiver_access
from agents.commands.local_status import compared_account, waiting_lines
from agents.commands.receiver_access import ReceiverAccess, pages, read_registrations
from agents.commands.receiver_status import PublishedState, state_of
from agents.journal.journal import Journal
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from tests.running import cryoferry_here, free_port
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.wire.accounting import AgentAccount
from transfer.wire.agent_status import AgentStatus, DiskSpace, LastError, LeaseWish, Rates
from transfer.wire.digest import chunk_digest, format_content_digest, root_digest
from transfer.wire.errors import NotFound
from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.protocol import Exposure, RegistrarTrouble, Registration, RegistrationState, Session

SESSION = "s"
BROKEN = 1
"""The exposure of this number is one that the registrar cannot register: its file is no MRC file."""
SIDE_PX = 8
STATES = ["registered", "failed", "registered", "registered"]
AGENTS = UUID(int=1), UUID(int=2)
Status = Callable[..., subprocess.CompletedProcess[str]]


class Published:
    """A receiver's session with four exposures, and the work folder of the agent that sent them."""

    def __init__(self, receiver: Any, work: Path) -> None:
        self.receiver, self.work = receiver, work
        self.token = receiver.token("agent", SESSION)
        self.records: list[ExposureRecord] = []
        session = FilledSession(
            exposure_count=6, failed_every=5, waiting_count=1, files={FileRole.MICROGRAPH: (".mrc", 100)}
        )
        fill_journal(work, session, publish=self.records.append, about={"url": receiver.url})
        with ReceiverClient(receiver.url, self.token) as client, httpx.Client(base_url=receiver.url) as http:
            client.open_session(SESSION)
            for record in self.records:
                content = bytes(100) if record is self.records[BROKEN] else small_mrc(work / "small.mrc")
                file = record.files[0].model_copy(
                    update={"size_bytes": len(content), "digest": root_digest([chunk_digest(content)])}
                )
                headers = {
                    "Authorization": f"Bearer {self.token}",
                    "Content-Digest": format_content_digest("blake3", chunk_digest(content)),
                }
                http.put(f"/v1/files/{SESSION}/{file.path}", content=content, headers=headers).raise_for_status()
                changed = {"files": (file,), "micrograph_height_px": SIDE_PX, "micrograph_width_px": SIDE_PX}
                client.publish(SESSION, record.model_copy(update=changed))

            def states() -> list[str]:
                return [one.registrations[0].state.value for one in client.exposures(SESSION).exposures]

            wait_until(lambda: "pending" not in states(), lambda: f"the registrar's work: {states()}")


def small_mrc(path: Path) -> bytes:
    """Return an MRC file of SIDE_PX x SIDE_PX pixels."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(np.ones((SIDE_PX, SIDE_PX), np.float32))
    return path.read_bytes()


@pytest.fixture(scope="module")
def published(shared_receiver: Any, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Return a session that every test of this module may look at, and add agents to."""
    return Published(shared_receiver, tmp_path_factory.mktemp("agent") / "cryoferry" / SESSION)


@pytest.fixture
def client(published: Published) -> Iterator[ReceiverClient]:
    with ReceiverClient(published.receiver.url, published.token) as client:
        yield client


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Status:
    """Return a function that runs `cryoferry status` with a token; `here`: in the home of the agent that has it."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, token: str, here: Published | None = None) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path if here is None else here.work.parents[1]))
        monkeypatch.setenv("CRYOFERRY_TOKEN", token)
        return cryoferry_here(monkeypatch, capsys, "status", *arguments)

    return run


def report(**more: Any) -> AgentStatus:
    values = {"host": "scope1", "version": "1.2.3", "started_at": datetime.now(UTC), **more}
    return AgentStatus(**values)


# ---- from any machine


def test_a_work_folder_that_has_sent_more_than_the_receiver_has_is_an_alarm(client: ReceiverClient) -> None:
    session = client.session(SESSION)
    assert compared_account(AgentAccount(sent=session.exposure_count), session) == session.account
    account = compared_account(AgentAccount(sent=session.exposure_count + 1), session)
    assert account is not None
    assert "this work folder has sent 5 exposures, and the receiver has only 4 of them" in account.alarms[-1]
    assert compared_account(AgentAccount(sent=1), None) is None


def test_every_machine_with_a_token_sees_the_session_and_its_agents(
    published: Published, client: ReceiverClient, run: Status
) -> None:
    to = ("--to", published.receiver.url)
    client.report_status(
        SESSION,
        AGENTS[0],
        report(
            counts={"released": 4, "failed": 1, "held": 0},
            rates=Rates(movies_per_hour=812.4, upload_bytes_per_s=34e6),
            stage_seconds={"align": 8.1},
            disk=DiskSpace(work_free_bytes=4_000_000_000, work_reserve_bytes=5_000_000_000),
            troubles=("the share is not there",),
            last_error=LastError(at=datetime.now(UTC) - timedelta(minutes=5), text="a.tiff: cut off"),
            paused=True,
        ),
    )
    client.report_status(SESSION, AGENTS[1], report(host="scope2", lease=LeaseWish.RELEASE))
    for arguments in ((), ("--session", SESSION)):
        done = run(*to, *arguments, token=published.receiver.token("reader", SESSION))
        assert done.returncode == 0, done.stderr
        for text in (
            f"Session s at {published.receiver.url}, cryoferry ",
            "open, started ",
            "4 published; relion: 3 registered, 1 failed",
            "exposures 4 seen = 3 registered (3 accepted, 0 rejected) + 0 held + 1 failed + 0 waiting + 0 deleted",
            "are free on the receiver's disk",
            "Agent on scope1, cryoferry 1.2.3, paused",
            "4 released, 1 failed",
            "812 movies/h over the last hour, 34.0 MB/s, align takes 8.1 s a movie",
            "4.0 GB are free for its work folder; it stops aligning below 5.0 GB",
            "the share is not there",
            "last error, 5 min ago: a.tiff: cut off",
            "Agent on scope2",
        ):
            assert text in done.stdout
        assert ", 0 held" not in done.stdout
    first, second = done.stdout.split("Agent on ")[1:]
    assert ("reported" in first, "ended" in second) == (True, True)
    (whole,) = [json.loads(line) for line in run(*to, "--json", token=published.token).stdout.splitlines()]
    assert (whole["session"], whole["session_state"], whole["exposure_count"]) == (SESSION, "open", 4)
    assert [agent["status"]["host"] for agent in whole["agents"]] == ["scope1", "scope2"]
    assert whole["receiver_free_bytes"] > 0
    assert (whole["listed"], whole["left_out"]) == (0, 4)


def test_how_long_ago_an_agent_reported_is_told_by_the_receivers_clock(
    published: Published, run: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = published.receiver.token("agent", "silent")
    with ReceiverClient(published.receiver.url, token) as client:
        client.open_session("silent")
        client.report_status("silent", AGENTS[0], report())
        assert abs(time.time() - (client.answered_at_s or 0)) < 60
    done = run("--to", published.receiver.url, token=token)
    assert "it has ended, or it cannot reach the receiver" not in done.stdout
    hour_later = property(lambda self: time.time() + 3600)
    monkeypatch.setattr(ReceiverClient, "answered_at_s", hour_later)
    done = run("--to", published.receiver.url, token=token)
    assert "reported 1 h ago: it has ended, or it cannot reach the receiver" in done.stdout


def test_a_receiver_that_knows_no_agents_shows_the_rest(
    published: Published, run: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotFound("there is no such route")

    monkeypatch.setattr(ReceiverClient, "agents", refuse)
    done = run("--to", published.receiver.url, token=published.token)
    assert "4 published" in done.stdout
    assert "This receiver is older and keeps no reports of agents." in done.stdout
    whole = json.loads(run("--to", published.receiver.url, "--json", token=published.token).stdout)
    assert (whole["agents"], whole["exposure_count"]) == (None, 4)


def test_the_filters_list_what_is_published(published: Published, client: ReceiverClient, run: Status) -> None:
    to, names = ("--to", published.receiver.url), [record.movie for record in published.records]

    def listed(*arguments: str) -> list[str]:
        text = run(*to, *arguments, token=published.token).stdout
        objects = [
            json.loads(line) for line in run(*to, *arguments, "--json", token=published.token).stdout.splitlines()
        ]
        movies = [word for line in text.splitlines() for word in line.split() if word.endswith(".tiff")]
        assert movies == [one["movie"] for one in objects[:-1]]
        assert all((one["ctf_resolution_angstrom"], one["ctf_reliable"]) == (12.3456, True) for one in objects[:-1])
        return [one["movie"] for one in objects[:-1]]

    assert listed("--all") == listed("--since", "1h") == names
    assert listed("--state", "registered") == [name for name in names if name != names[BROKEN]]
    assert listed("--failed") == listed("--state", "failed") == [names[BROKEN]]
    assert listed("--limit", "1") == names[-1:]
    assert listed("FoilHole_25598002") == [name for name in names if "_25598002_" in name]
    assert listed(str(published.records[0].exposure_id)) == names[:1]
    assert listed("--since", "0s") == listed("--state", "pending") == []
    why = client.exposures(SESSION).exposures[BROKEN].registrations[0].detail
    none = run(*to, "--failed", "nowhere", token=published.token)
    assert "No exposure is failed in a registrar, named like 'nowhere'" in none.stderr
    assert "The receiver has 4 exposures of this session." in none.stderr
    left_out = run(*to, "--limit", "3", token=published.token)
    assert "1 older one is left out" in left_out.stderr
    client.report_status(
        SESSION,
        AGENTS[0],
        report(counts={"failed": 1}, last_error=LastError(at=datetime.now(UTC), text="a.tiff: cut off")),
    )
    failed = run(*to, "--failed", token=published.token)
    assert failed.returncode == 0
    assert f"relion: {why}" in failed.stdout
    assert why in run(*to, "--failed", "--full", token=published.token).stdout
    assert "1 failed or held on the agent's side (scope1), so not on the receiver; last error" in failed.stderr
    assert "a.tiff: cut off" in failed.stderr
    wrong = run(*to, "--state", "registred", token=published.token)
    assert (wrong.returncode, "Did you mean registered?" in wrong.stderr) == (2, True)


def test_the_list_is_not_read_for_failures_where_there_are_none(
    published: Published, run: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = published.receiver.token("agent", "empty")
    with ReceiverClient(published.receiver.url, token) as client:
        client.open_session("empty")
    monkeypatch.setattr(ReceiverClient, "exposures", lambda *_: pytest.fail("the whole list is read"))
    done = run("--to", published.receiver.url, "--failed", token=token)
    assert "No exposure is failed in a registrar. The receiver has 0 exposures" in done.stderr


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], PublishedState.REGISTERED),
        (["registered", "registered"], PublishedState.REGISTERED),
        (["registered", "pending"], PublishedState.PENDING),
        (["pending", "failed"], PublishedState.FAILED),
    ],
)
def test_the_slowest_registrar_decides(states: list[str], state: PublishedState) -> None:
    registrations = tuple(
        Registration(registrar=f"r{number}", state=RegistrationState(word)) for number, word in enumerate(states)
    )
    assert state_of(Exposure.model_construct(registrations=registrations)) == state


def test_a_registrar_that_waits_is_a_line_with_its_reason() -> None:
    since = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    trouble = RegistrarTrouble(registrar="scipion", reason="the follower was stopped", since=since, session=SESSION)
    shown = Session.model_construct(waiting=(trouble,))
    assert waiting_lines(shown, now_s=since.timestamp() + 120) == ["scipion waits for 2 min: the follower was stopped"]
    assert waiting_lines(Session.model_construct(waiting=None)) == []  # an older receiver's


def test_several_sessions_are_a_list_and_a_filter_needs_one(published: Published, run: Status) -> None:
    token = published.receiver.token("agent")
    with ReceiverClient(published.receiver.url, token) as client:
        client.open_session("other")
    done = run("--to", published.receiver.url, token=token)
    first, second = (line for line in done.stdout.splitlines() if line.startswith(("s: ", "other: ")))
    assert first.startswith("s: open, started ")
    line = "4 seen = 3 registered (3 accepted, 0 rejected) + 0 held + 1 failed + 0 waiting + 0 deleted"
    assert first.endswith(f" ago; {line}")
    assert second.endswith("0 deleted")
    assert "--session NAME shows one of them" in done.stderr
    refused = run("--to", published.receiver.url, "--failed", token=token)
    assert (refused.returncode, "several sessions: s, " in refused.stderr) == (2, True)
    objects = run("--to", published.receiver.url, "--json", token=token).stdout.splitlines()
    assert {json.loads(line)["name"] for line in objects} >= {"s", "other"}


def test_what_is_wrong_is_said_with_its_exit_code(published: Published, run: Status) -> None:
    url, token = published.receiver.url, published.token
    unknown = run("--to", url, "--session", "nowhere", token=published.receiver.token("reader"))
    assert (unknown.returncode, "no session 'nowhere'" in unknown.stderr) == (1, True)
    other = run("--to", url, "--session", "nowhere", token=token)
    assert (other.returncode, other.stdout) == (7, "")
    assert run("--to", url, token="cf_nonsense").returncode == 7
    down = run("--to", f"http://127.0.0.1:{free_port()}", token=token)
    assert (down.returncode, "Connection refused" in down.stderr) == (5, True)
    assert run("--to", "http://receiver.invalid", token=token).returncode == 2
    assert run("--to", "nonsense", token=token).returncode == 2


# ---- beside the journal


def test_where_the_agent_works_its_journal_is_shown_too(published: Published, run: Status) -> None:
    for arguments in ((), ("--to", published.receiver.url), ("--session", SESSION)):
        done = run(*arguments, token=published.token, here=published)
        assert f"Work folder: {published.work}" in done.stdout, arguments
        assert f"receiver  {published.receiver.url}, session open" in done.stdout
        assert "          4 published; relion: 3 registered, 1 failed" in done.stdout
    elsewhere = run("--to", f"{published.receiver.url}/elsewhere", token=published.token, here=published)
    assert "Work folder" not in elsewhere.stdout


def test_the_receiver_is_asked_only_about_what_is_listed(
    published: Published, run: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ReceiverClient, "exposure", lambda self, session, exposure_id: asked.append(str(exposure_id)))
    monkeypatch.setattr(ReceiverClient, "exposures", lambda *_: pytest.fail("the whole list is read"))
    assert run("--failed", token=published.token, here=published).returncode == 0
    assert asked == []
    assert run("--limit", "3", token=published.token, here=published).returncode == 0
    assert asked == [str(published.records[-1].exposure_id)] or len(asked) == 2


def test_what_is_registered_stands_beside_each_exposure(published: Published, run: Status) -> None:
    *objects, whole = map(json.loads, run("--all", "--json", token=published.token, here=published).stdout.splitlines())
    states = {"relion": "registered"}, {"relion": "failed"}
    wanted = {record.movie: states[record is published.records[BROKEN]] for record in published.records}
    assert {one["movie"]: one["registered"] for one in objects if one["registered"]} == wanted
    assert {one["state"] for one in objects if not one["registered"]} == {"failed", "finished"}
    assert (whole["receiver"], whole["exposure_count"]) == ("read", 4)
    assert (whole["registered_count"], whole["failed_count"]) == ({"relion": 3}, {"relion": 1})
    assert "relion" in run("--all", token=published.token, here=published).stdout
    down = ("--work", published.work, "--to", f"http://127.0.0.1:{free_port()}")
    done = run("--all", "--json", *down, token=published.token)
    *objects, whole = map(json.loads, done.stdout.splitlines())
    assert (len(objects), whole["receiver"].startswith("LinkLost"), whole["exposure_count"]) == (6, True, None)
    assert "What is registered is not known: LinkLost" in run("--all", *down, token=published.token).stderr
    assert "receiver  LinkLost" in run(*down, token=published.token).stdout


def test_a_long_list_is_asked_for_only_if_the_user_wants_it(
    published: Published, run: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.commands.local_status.MOST_SINGLE_REQUESTS", 3)
    monkeypatch.setattr(receiver_access, "MOST_SINGLE_REQUESTS", 3)
    done = run("--all", token=published.token, here=published)
    assert "relion" not in done.stdout
    assert "give --registered" in done.stderr
    assert "relion" in run("--all", "--registered", token=published.token, here=published).stdout


def test_both_ways_to_ask_give_the_same(
    published: Published, client: ReceiverClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {(record.exposure_id, 1) for record in published.records} | {(uuid4(), 1)}
    wanted |= {(published.records[0].exposure_id, 2)}  # not published yet
    one_by_one = read_registrations(client, SESSION, wanted)
    monkeypatch.setattr(receiver_access, "MOST_SINGLE_REQUESTS", 1)
    assert read_registrations(client, SESSION, wanted) == one_by_one
    assert [one_by_one[record.exposure_id, 1]["relion"] for record in published.records] == STATES
    assert len(one_by_one) == len(STATES)


def test_every_page_of_the_receivers_list_is_read(published: Published, client: ReceiverClient) -> None:
    def short_page(session: str, after: str | None) -> Any:
        page = ReceiverClient.exposures(client, session, after)
        first = page.exposures[:1]
        return page.model_copy(
            update={"exposures": first, "next": None if len(page.exposures) == 1 else _next(client, after)}
        )

    client.exposures = short_page  # type: ignore[method-assign]
    found = [exposure.record.exposure_id for page in pages(client, SESSION) for exposure in page]
    assert found == [record.exposure_id for record in published.records]


def _next(client: ReceiverClient, after: str | None) -> str:
    params = {"limit": "1"} if after is None else {"limit": "1", "after": after}
    answer = client._http.request("GET", f"/v1/sessions/{SESSION}/exposures", params=params)
    return str(json.loads(answer.body)["next"])


def test_what_the_agent_noted_is_used_where_the_user_gives_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note(url="http://noted", token_file="/token", ca="/ca", clear_text="yes")
    noted = ReceiverAccess(url="").or_noted(journal)
    assert noted == ReceiverAccess(url="http://noted", token_file=Path("/token"), ca=Path("/ca"), clear_text=True)
    given = ReceiverAccess(url="http://given", token_file=Path("/mine"))
    assert given.or_noted(journal) == ReceiverAccess(url="http://given", token_file=Path("/mine"), ca=Path("/ca"))
    assert ReceiverAccess(url="http://noted/").is_noted(journal)
    assert not given.is_noted(journal)
    journal.close()
