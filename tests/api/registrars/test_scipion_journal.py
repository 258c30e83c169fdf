from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.registrars.scipion_journal import FORMAT, MicrographVerdict, SessionJournal
from transfer.wire import version_1
from transfer.wire.figures import FIGURES


def entries(journal: SessionJournal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.path.read_text().splitlines()]


def entry(name: str, revision: int = 1) -> dict[str, Any]:
    return {"name": name, "revision": revision}


def answer(folder: Path, *answers: dict[str, Any], tail: str = "") -> None:
    with (folder / "acknowledged.jsonl").open("a") as stream:
        stream.write("".join(json.dumps(one) + "\n" for one in answers) + tail)


def test_entries_are_numbered_through_restarts(tmp_path: Path) -> None:
    SessionJournal(tmp_path, "grid1").append_micrographs([entry("a.mrc"), entry("b.mrc")])
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc", 2)])
    journal.end()
    assert [(entry["seq"], entry["type"]) for entry in entries(journal)] == [
        (1, "session"), (2, "micrograph"), (3, "micrograph"), (4, "micrograph"), (5, "end"),
    ]  # fmt: skip
    assert journal.entry_number("a.mrc", 1) == 2
    assert journal.entry_number("a.mrc", 2) == 4
    assert journal.entry_number("b.mrc", 2) is None


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_tail_is_cut_off(tmp_path: Path, cut: int) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc"), entry("b.mrc")])
    with journal.path.open("r+b") as stream:
        stream.truncate(journal.path.stat().st_size - cut)
    journal = SessionJournal(tmp_path, "grid1")
    assert journal.entry_number("b.mrc", 1) is None
    journal.append_micrographs([entry("b.mrc")])
    assert [entry["seq"] for entry in entries(journal)] == [1, 2, 3]


def test_late_data_reopen_an_ended_session(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.end()
    journal.end()
    assert journal.ended
    journal.append_micrographs([entry("late.mrc")])
    assert not journal.ended
    assert [entry["type"] for entry in entries(journal)] == ["session", "end", "reopen", "micrograph"]
    journal.end()
    journal.reopen()
    journal.reopen()
    assert [entry["type"] for entry in entries(journal)][4:] == ["end", "reopen"]


def verdict(name: str, *, accepted: bool, by: str = "threshold", revision: int = 1) -> MicrographVerdict:
    return MicrographVerdict(name, revision, accepted, by, "2026-01-01T12:00:00+00:00")


def test_a_verdict_is_a_line(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc")])
    journal.append_verdicts([verdict("a.mrc", accepted=False)])
    assert entries(journal)[-1] == {
        "seq": 3, "type": "verdict", "name": "a.mrc", "revision": 1, "accepted": False, "by": "threshold",
        "at": "2026-01-01T12:00:00+00:00",
    }  # fmt: skip


def test_a_verdict_stands_before_the_micrograph_that_it_rejects(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_verdicts([verdict("a.mrc", accepted=False)])  # not registered yet: it comes with its entry
    journal.append_micrographs(
        [entry("a.mrc"), entry("b.mrc")], [verdict("a.mrc", accepted=False), verdict("b.mrc", accepted=True)]
    )
    assert [(one["type"], one.get("name")) for one in entries(journal)[1:]] == [
        ("verdict", "a.mrc"), ("micrograph", "a.mrc"), ("micrograph", "b.mrc"),
    ]  # fmt: skip


def test_a_verdict_that_the_journal_says_already_is_not_repeated(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc")], [verdict("a.mrc", accepted=True)])
    for _ in range(2):
        journal = SessionJournal(tmp_path, "grid1")
        journal.append_verdicts([verdict("a.mrc", accepted=True)])
    for accepted, by in ((False, "threshold"), (False, "person"), (False, "person"), (True, "person")):
        journal = SessionJournal(tmp_path, "grid1")
        journal.append_verdicts([verdict("a.mrc", accepted=accepted, by=by)])
    journal.append_micrographs([entry("a.mrc", 2)], [verdict("a.mrc", accepted=True, revision=2)])
    assert [(one["accepted"], one["by"]) for one in entries(journal) if one["type"] == "verdict"] == [
        (False, "threshold"), (False, "person"), (True, "person"), (True, "threshold"),
    ]  # fmt: skip


def test_a_late_verdict_reopens_an_ended_session(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc")])
    journal.end()
    journal.append_verdicts([verdict("a.mrc", accepted=True)])
    assert journal.ended
    journal.append_verdicts([verdict("a.mrc", accepted=False)])
    assert [one["type"] for one in entries(journal)][2:] == ["end", "reopen", "verdict"]


def test_answers_are_taken_in_as_they_come(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc"), entry("b.mrc")])
    journal.end()
    answer(tmp_path, {"seq": 2, **entry("a.mrc")}, {"seq": 3, **entry("b.mrc"), "error": "gone"}, tail='{"seq"')
    journal.read_answers()
    first, second = journal.answer("a.mrc", 1), journal.answer("b.mrc", 1)
    assert first is not None
    assert second is not None
    assert (first.seq, first.error) == (2, "")
    assert (second.seq, second.error) == (3, "gone")
    assert not journal.closed

    answer(tmp_path, tail=': 4, "type": "end"}\n')
    journal.read_answers()
    assert journal.closed
    journal.append_micrographs([entry("b.mrc")])
    assert not journal.closed
    answer(tmp_path, {"seq": 6, **entry("b.mrc")})
    journal.read_answers()
    healed = journal.answer("b.mrc", 1)
    assert healed is not None
    assert (healed.seq, healed.error) == (6, "")


def test_an_answer_to_a_verdict_says_nothing_about_the_micrograph(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc")], [verdict("a.mrc", accepted=False)])
    answer(tmp_path, {"seq": 2, "type": "verdict", **entry("a.mrc"), "held": True})
    journal.read_answers()
    assert journal.answer("a.mrc", 1) is None
    answer(tmp_path, {"seq": 3, **entry("a.mrc")})
    journal.read_answers()
    assert journal.answer("a.mrc", 1) is not None


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc")])
    before = journal.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append_micrographs([entry("b.mrc")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert journal.path.read_bytes() == before
    journal.append_micrographs([entry("b.mrc")])
    assert journal.entry_number("b.mrc", 1) == 3


def test_a_follower_lives_as_long_as_its_process(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path, "grid1")
    assert not journal.is_followed()
    hold = (
        "import fcntl, sys, time; stream = open(sys.argv[1], 'w'); fcntl.flock(stream, fcntl.LOCK_EX);"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "follower.lock")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder.stdout:
        holder.stdout.readline()
        assert journal.is_followed()
        holder.kill()
        holder.wait()
    assert not journal.is_followed()
    descriptor = os.open(tmp_path / "follower.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # looking left nothing locked
    os.close(descriptor)


def test_a_journal_of_an_older_format_says_where_the_newer_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"seq": 1, "type": "session", "session": "grid1", "format": 1}\n')
    for _ in range(2):
        journal = SessionJournal(tmp_path, "grid1")
    journal.append_micrographs([entry("a.mrc")])
    assert [(entry["seq"], entry.get("format")) for entry in entries(journal)] == [(1, 1), (2, FORMAT), (3, None)]


@pytest.fixture
def plugin_journal() -> Any:
    """The plugin's own module, which needs no Scipion."""
    path = Path(__file__).parents[3] / "deploy" / "scipion-plugin" / "cryoferry_scipion" / "journal.py"
    spec = importlib.util.spec_from_file_location("plugin_journal", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plugin_reads_what_the_receiver_writes(plugin_journal: Any) -> None:
    assert plugin_journal.FORMAT == FORMAT
    plugin_journal.check_format({"type": "session"})
    plugin_journal.check_format({"type": "session", "format": FORMAT})
    with pytest.raises(RuntimeError, match=f"in format {FORMAT + 1}, this plugin reads format 1 to {FORMAT}"):
        plugin_journal.check_format({"type": "session", "format": FORMAT + 1})


def test_the_plugin_reads_figures_of_both_formats(plugin_journal: Any) -> None:
    motion = {"total_angstrom": 2.7, "early_angstrom": 2.0, "late_angstrom": 0.7}
    ctf = {"defocus_u_angstrom": 1.0, "defocus_v_angstrom": 2.0, "astigmatism_angle_degrees": 3.0, "fit_quality": None}
    for section in (None, ctf):
        old = {"motion": motion, "ctf": section}
        new = {"figures": version_1.upgraded(old)["figures"]}
        assert plugin_journal.figures_of(old) == plugin_journal.figures_of(new) == new["figures"]
        assert plugin_journal.has_ctf(old) is plugin_journal.has_ctf(new) is (section is not None)
    assert set(plugin_journal.figures_of({"motion": motion, "ctf": ctf})) <= set(FIGURES)
