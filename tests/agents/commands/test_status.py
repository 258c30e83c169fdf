"""`cryoferry status` on a machine with a work folder: totals, lists, JSON, and what it says of a broken journal."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents.finding.discovery import Discovery
from agents.finding.links import Why
from agents.journal.journal import Journal
from agents.journal.opening import NAME
from agents.journal.states import PAUSED, State
from agents.work_folder import WorkLock
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from preprocess.layouts import FLAT
from tests.agents.journal.old_journal import write_old_journal
from tests.running import cryoferry_here
from transfer.wire.exposure_record import FileRole

FILES = {FileRole.MICROGRAPH: (".mrc", 1000)}

Status = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def session() -> FilledSession:
    """Return a session that ended now: made for each test, because a run of all tests takes longer than some limits."""
    return FilledSession(exposure_count=130, failed_every=10, held_every=0, waiting_count=3, files=FILES)


@pytest.fixture
def work(tmp_path: Path, session: FilledSession) -> Path:
    fill_journal(tmp_path / "work", session)
    return tmp_path / "work"


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Status:
    """Return a function that runs `cryoferry status` in a home of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("CRYOFERRY_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: cryoferry_here(monkeypatch, capsys, "status", *arguments)


def tell(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_totals_say_how_it_stands(work: Path, session: FilledSession, status: Status) -> None:
    done = status("--work", work)
    assert done.returncode == 0
    assert "Session s, from" in done.stdout
    assert f"The agent is not running: start it with `cryoferry watch`.\nWork folder: {work}\n" in done.stdout
    heading, counts = done.stdout.split("\n\n")[1].splitlines()
    assert heading.split() == [state.value for state in State]
    assert counts.split() == ["0", "1", "1", "1", "0", "115", "0", "12"]
    assert "115 movies (115.0 kB) in the last hour" in done.stdout
    assert "an hour on average" in done.stdout
    assert "longest: " in done.stdout
    assert "no receiver is known: give --to URL" in done.stdout
    *_, newest, last = done.stdout.splitlines()
    assert session.movie(120) in newest
    assert "Failed and held: 12; the newest 5:" in done.stdout
    assert session.movie(80) in done.stdout
    assert session.movie(70) not in done.stdout
    assert last == f"All of them: cryoferry status --work {work} --failed"


def test_what_keeps_the_agent_from_working_is_shown(work: Path, status: Status) -> None:
    journal = Journal(work, create=False)
    journal.note(
        receiver_trouble="LinkLost", receiver_trouble_since="0", source_trouble="gone", work_full="full",
        **{PAUSED: "an admin"},
    )  # fmt: skip
    journal.close()
    with WorkLock(work):
        done = status("--work", work)
    for text in ("The agent is running.", "receiver: LinkLost", "source: gone", "work folder: full", "paused: nothing"):
        assert text in done.stdout
    whole = tell(status("--work", work, "--json"))[-1]
    assert (len(whole["troubles"]), whole["paused"], whole["agent_runs"]) == (4, True, False)


def test_what_the_last_scan_skipped_is_shown_also_of_an_agent_that_has_ended(tmp_path: Path, status: Status) -> None:
    source, outside = tmp_path / "source", tmp_path / "outside"
    outside.mkdir()
    source.mkdir()
    for number in range(7):
        (source / f"link{number}.tiff").symlink_to(outside)
    (source / "gone\x1b.tiff").symlink_to(outside / "nothing")
    os.mkfifo(source / "pipe.mrc")
    (source / "notes.txt").touch()
    work = tmp_path / "work"
    work.mkdir()
    journal = Journal(work)
    discover(journal, source).scan_once()
    journal.close()
    again = Journal(work)
    discover(again, source)  # an agent that was started again, and has not scanned yet
    done, (whole,) = status("--work", work), tell(status("--work", work, "--json"))
    again.close()
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("skipped ")]
    assert "7 × a link whose target lies outside of the source (give --follow-links to follow it); 1 × " in line
    assert whole["skipped"] == {
        Why.OUTSIDE: {"count": 7, "examples": [f"link{number}.tiff" for number in range(5)]},
        Why.DANGLING: {"count": 1, "examples": [r"gone\x1B.tiff"]},
        Why.NOT_A_FILE: {"count": 1, "examples": ["pipe.mrc"]},
        "not a movie's extension": {"count": 1, "examples": ["notes.txt"]},
    }


def discover(journal: Journal, source: Path) -> Discovery:
    return Discovery(journal, source, FLAT, settle_s=1, give_up_s=1)


def test_a_new_work_folder_has_no_movie_yet(tmp_path: Path, status: Status) -> None:
    (tmp_path / "work").mkdir()
    Journal(tmp_path / "work").close()
    done = status("--work", tmp_path / "work")
    assert "No movie was found yet." in done.stdout
    listed = status("--work", tmp_path / "work", "--all")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert "No movie was found yet." in listed.stderr
    (whole,) = tell(status("--work", tmp_path / "work", "--json"))
    assert (whole["oldest_waiting"], whole["newest_set_aside"], whole["movies_per_hour"]) == (None, [], None)
    assert whole["skipped"] == {}


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--failed"], range(10, 121, 10)),
        (["--failed", "--limit", "2"], [110, 120]),
        (["--state", "aligned", "--state", "SENDING"], [n for n in (128, 129, 130) if n % 3]),
        (["{movie 7}"], [7]),
        (["*/FoilHole_2559800[1-3]_*"], [1, 2, 3]),
        (["FoilHole_25598010_*", "--failed"], [10]),
        (["FoilHole_25598010", "--state", "failed"], [10]),
        (["--failed", "--since", "{found 115}"], [120]),
        (["--failed", "--since", "12h"], range(10, 121, 10)),
        (["--limit", "3"], [128, 129, 130]),
    ],
)
def test_a_filter_lists_what_fits(
    work: Path, session: FilledSession, status: Status, arguments: list[str], numbers: Iterable[int]
) -> None:
    of_session = {
        "{movie 7}": session.movie(7),
        "{found 115}": datetime.fromtimestamp(session.found_at_s(115), UTC).isoformat(),
    }
    arguments = [of_session.get(argument, argument) for argument in arguments]
    done = status("--work", work, *arguments)
    assert done.returncode == 0
    _, *lines = done.stdout.splitlines()
    for line, number in zip(lines, numbers, strict=True):
        assert session.movie(number) in line
    *objects, whole = tell(status("--work", work, *arguments, "--json"))
    assert [one["movie"] for one in objects] == [line.split()[-1 if "failed" not in line else 3] for line in lines]
    assert whole["listed"] == len(lines)


def test_a_long_list_is_shortened_and_says_so(work: Path, status: Status) -> None:
    done = status("--work", work, "--state", "released")
    assert len(done.stdout.splitlines()) == 101
    assert "15 older ones are left out: --limit N shows more, --all shows all." in done.stderr
    assert len(status("--work", work, "--all").stdout.splitlines()) == 131
    assert len(tell(status("--work", work, "--state", "released", "--json"))) == 116
    whole = tell(status("--work", work, "--all", "--limit", "4", "--json"))[-1]
    assert (whole["listed"], whole["left_out"]) == (4, 126)


def test_the_whole_reason_and_what_to_do_are_shown_in_full(work: Path, status: Status) -> None:
    done = status("--work", work, "--failed", "--limit", "1", "--full")
    _, _, reason, hint = done.stdout.splitlines()
    assert "ended with signal 9 (three attempts)" in reason
    assert "cryoferry retry" in hint


def test_nothing_that_fits_and_states_that_do_not_exist_are_said(work: Path, status: Status) -> None:
    nothing = status("--work", work, "--state", "held", "--since", "2h", "nowhere")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "No exposure is held, changed since" in nothing.stderr
    assert "named like 'nowhere'" in nothing.stderr
    wrong = status("--work", work, "--state", "relesed")
    assert wrong.returncode == 2
    assert "Did you mean released?" in wrong.stderr
    assert status("--work", work, "--since", "soon").returncode == 2
    assert status("--work", work, "--limit", "0").returncode == 2


def test_one_exposure_is_found_by_its_id(work: Path, status: Status) -> None:
    first, *_ = tell(status("--work", work, "--failed", "--json"))
    found, _ = tell(status("--work", work, first["exposure_id"], "--json"))
    assert found == first


def test_a_journal_is_as_it_was_whoever_wrote_it(tmp_path: Path, work: Path, status: Status) -> None:
    (tmp_path / "old").mkdir()
    write_old_journal(tmp_path / "old")
    for folder in (tmp_path / "old", work):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert status("--work", folder).returncode == 0
        assert status("--work", folder, "--all").returncode == 0
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    *rows, _ = tell(status("--work", tmp_path / "old", "--all", "--json"))
    assert {row["state"] for row in rows} == {state.value for state in State}
    with WorkLock(tmp_path / "old"):  # an agent of the older version runs
        assert "The agent is running" in status("--work", tmp_path / "old").stdout


@pytest.mark.parametrize(("content", "text"), [(b"", "0 bytes"), (b"x" * 5000, "is damaged")])
def test_a_broken_journal_is_an_error_that_says_what_to_do(
    tmp_path: Path, status: Status, content: bytes, text: str
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / NAME).write_bytes(content)
    for arguments in ([], ["--failed"]):
        done = status("--work", tmp_path / "work", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert text in done.stderr
        assert "cryoferry watch" in done.stderr
    assert (tmp_path / "work" / NAME).read_bytes() == content
    error = json.loads(status("--work", tmp_path / "work", "--json").stdout)["error"]
    assert text in error["message"]


def test_without_a_work_folder_the_error_names_the_receiver_as_a_way(status: Status) -> None:
    done = status()
    assert done.returncode == 2
    assert "cryoferry status --to URL" in done.stderr
    assert status("--session", "s").returncode == 2
