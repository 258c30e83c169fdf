"""A failing disk of the agent's work folder: never the movie's fault, and nothing is lost when it works again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from faulty_calls import FaultyCalls
from injected_faults import Strace, require_strace

from preprocess.simulation import SimulationSettings, simulate_movie
from tests.agents.agent_process import AgentProcess
from tests.running import COMMAND


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a source with one movie."""
    folder = tmp_path / "microscope"
    folder.mkdir()
    simulate_movie(SimulationSettings(height=256, width=256, frame_count=6, gain=False)).write(folder / "a.tiff")
    return folder


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Yield a folder with a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root: run the tests as root to include this one")
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"mounting failed ({made.stderr.decode().strip()}): run the tests with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def outputs_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of its own for the outputs, which is read-only."""
    yield from mounted(tmp_path / "outputs", "ro")


@pytest.fixture
def work_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a work folder that is a small disk of its own."""
    yield from mounted(tmp_path / "work", "size=16m")


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of a folder to its last byte; return the file that does."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def nothing_was_blamed(agent: AgentProcess) -> bool:
    assert "report this" not in agent.log.read_text()
    return not {state for state, _ in agent.states().values()} & {"failed", "held"}


def test_outputs_that_cannot_be_written_are_not_the_movies_fault(
    tmp_path: Path, source: Path, outputs_disk: Path, receiver: Any
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "exposures").symlink_to(outputs_disk)
    agent = AgentProcess(source, work, receiver.url, receiver.token("agent", "s"))
    try:
        agent.until(lambda: "Nothing is aligned and sent until this is over" in agent.log.read_text(), "a warning")
        assert agent.states() == {"a.tiff": ("finished", 1)}
        remount(outputs_disk, "rw")
        agent.wait_for(a_tiff="released")
        assert nothing_was_blamed(agent)
    finally:
        agent.end()


def test_an_agent_whose_disk_is_full_waits_and_goes_on(source: Path, work_disk: Path, receiver: Any) -> None:
    agent = AgentProcess(source, work_disk, receiver.url, receiver.token("agent", "s"))
    try:
        agent.wait_for(a_tiff="released")
        filler = fill(work_disk)
        (source / "b.tiff").write_bytes((source / "a.tiff").read_bytes() + b"another movie")
        agent.until(lambda: "no movie fails by it" in agent.log.read_text(), "a warning")
        told = subprocess.run([*COMMAND, "status", "--work", work_disk], capture_output=True, text=True, check=False)
        assert "its disk is full" in told.stdout
        filler.unlink()
        agent.wait_for(a_tiff="released", b_tiff="released")
        assert "can be used again" in agent.log.read_text()
        assert nothing_was_blamed(agent)
    finally:
        code = agent.end()
    assert code == 0


def test_sigterm_ends_an_agent_whose_disk_is_full(source: Path, work_disk: Path, receiver: Any) -> None:
    agent = AgentProcess(source, work_disk, receiver.url, receiver.token("agent", "s"))
    agent.wait_for(a_tiff="released")
    fill(work_disk)
    (source / "b.tiff").write_bytes((source / "a.tiff").read_bytes() + b"another movie")
    agent.until(lambda: "no movie fails by it" in agent.log.read_text(), "a warning")
    assert agent.end() == 0


def test_a_disk_that_hangs_in_a_sync_delays_no_end_and_the_next_start_goes_on(
    tmp_path: Path, source: Path, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread hangs in the sync of a commit, so that it runs no handler of a signal."""
    faulty, token = FaultyCalls(tmp_path), receiver.token("agent", "s")
    with monkeypatch.context() as patched:
        for name, value in faulty.environment().items():
            patched.setenv(name, value)
        agent = AgentProcess(source, tmp_path / "work", receiver.url, token)
    agent.wait_for(a_tiff="found")
    faulty.begin("hang")
    agent.until(lambda: faulty.has_happened, "a sync that hangs")
    assert agent.end() == 0  # which waits for 60 s; the sync would hang for ever
    assert "did not end within 4 s" in agent.log.read_text()
    agent = AgentProcess(source, tmp_path / "work", receiver.url, token, "--exit-when-idle", "0.5")
    assert agent.wait() == 0
    assert agent.states() == {"a.tiff": ("released", 1)}


@pytest.mark.parametrize(("call", "fault"), [("fdatasync", "EIO"), ("pwrite64", "EROFS")])
def test_a_journal_that_cannot_be_written_makes_the_agent_wait(
    tmp_path: Path, source: Path, receiver: Any, call: str, fault: str
) -> None:
    require_strace()
    agent = AgentProcess(source, tmp_path / "work", receiver.url, receiver.token("agent", "s"))
    try:
        agent.wait_for(a_tiff="found")
        with Strace(agent.process.pid, tmp_path / "strace.log", (call,), fault=fault, when=1) as strace:
            agent.until(lambda: "no movie fails by it" in agent.log.read_text(), "a warning")
        assert strace.has_hit
        agent.wait_for(a_tiff="released")
        assert nothing_was_blamed(agent)
    finally:
        assert agent.end() == 0


def overwrite(work: Path) -> None:
    with (work / "journal.sqlite").open("r+b") as journal:
        journal.write(b"not what was written" * 1000)


def delete_journal(work: Path) -> None:
    (work / "journal.sqlite").unlink()


def delete_folder(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)


def replace_journal(work: Path) -> None:
    other = work / "other"
    other.write_bytes(b"no journal" * 1000)
    other.replace(work / "journal.sqlite")


@pytest.mark.parametrize("harm", [overwrite, delete_journal, delete_folder, replace_journal])
def test_an_agent_that_loses_its_journal_begins_a_new_one_and_asks_the_receiver(
    tmp_path: Path, source: Path, receiver: Any, harm: Callable[[Path], None]
) -> None:
    work = tmp_path / "work"
    agent = AgentProcess(source, work, receiver.url, receiver.token("agent", "s"))
    try:
        agent.wait_for(a_tiff="released")
        lines = len(agent.lines)
        harm(work)
        agent.until(
            lambda: any(line.get("state") == "released" for line in agent.lines[lines:]), "a new journal's release"
        )
        assert "the receiver has it" in agent.line("a.tiff", "released")["reason"]
        assert nothing_was_blamed(agent)
        (source / "b.tiff").write_bytes((source / "a.tiff").read_bytes() + b"another movie")
        agent.wait_for(a_tiff="released", b_tiff="released")
    finally:
        code = agent.end()
    assert code == 0


def test_a_hangup_and_a_closed_pipe_do_not_end_the_agent(tmp_path: Path, source: Path, receiver: Any) -> None:
    agent = AgentProcess(source, tmp_path / "work", receiver.url, receiver.token("agent", "s"))
    agent.wait_for(a_tiff="found")
    agent.process.send_signal(signal.SIGHUP)
    agent.until(lambda: "SIGHUP: the agent goes on" in agent.log.read_text(), "what SIGHUP does")
    agent.wait_for(a_tiff="released")
    assert agent.end() == 0
