"""A failing disk of the agent's work folder: never the movie's fault, and nothing is lost when it works again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from injected_faults import Strace, require_strace

from preprocess.simulation import SimulationSettings, simulate_movie
from tests.agents.agent_process import AgentProcess
from tests.waiting import wait_until


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a source with one movie."""
    folder = tmp_path / "microscope"
    folder.mkdir()
    simulate_movie(SimulationSettings(height=256, width=256, frame_count=6, gain=False)).write(folder / "a.tiff")
    return folder


@pytest.fixture
def outputs_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of its own for the outputs, which is read-only."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root: run the tests as root to include this one")
    folder = tmp_path / "outputs"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounting failed ({mounted.stderr.decode().strip()}): run the tests with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_cannot_be_written_is_not_the_movies_fault(
    tmp_path: Path, source: Path, outputs_disk: Path, receiver: Any
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "exposures").symlink_to(outputs_disk)
    agent = AgentProcess(source, work, receiver.url, receiver.token("agent", "s"))
    try:
        agent.until(lambda: "a disk reported an error" in agent.log.read_text(), "a warning")
        assert agent.states() == {"a.tiff": ("finished", 1)}
        subprocess.run(["mount", "-o", "remount,rw", outputs_disk], check=True)
        agent.wait_for(a_tiff="released")
    finally:
        agent.end()


def test_a_journal_that_cannot_be_written_ends_the_agent_and_loses_nothing(
    tmp_path: Path, source: Path, receiver: Any
) -> None:
    require_strace()
    token = receiver.token("agent", "s")
    agent = AgentProcess(source, tmp_path / "work", receiver.url, token)
    agent.wait_for(a_tiff="found")
    with Strace(agent.process.pid, tmp_path / "strace.log", ("fdatasync",), fault="EIO", when=1) as strace:
        wait_until(lambda: agent.process.poll() is not None, "the agent's end")
    assert strace.has_hit
    assert agent.wait() == 7, agent.log.read_text()
    assert "the journal or the database cannot be used: disk I/O error" in agent.log.read_text()
    assert not {state for state, _ in agent.states().values()} & {"failed", "held"}
    agent = AgentProcess(source, tmp_path / "work", receiver.url, token, "--exit-when-idle", "1")
    assert agent.wait() == 0, agent.log.read_text()
    assert agent.states() == {"a.tiff": ("released", 1)}
