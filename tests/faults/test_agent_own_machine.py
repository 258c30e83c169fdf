"""What the agent's own machine denies it: it waits, says what to do, and goes on by itself; no movie fails by it."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from preprocess.simulation import SimulationSettings, simulate_movie
from tests.agents.agent_process import AgentProcess
from tests.running import COMMAND, clean_environment

Fault = Callable[[AgentProcess], AbstractContextManager[None]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a source with one movie."""
    folder = tmp_path / "microscope"
    folder.mkdir()
    simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, gain=False)).write(folder / "a.mrc")
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Return a work folder; for root it is a mount point of its own."""
    folder = tmp_path / "work"
    folder.mkdir()
    if os.geteuid() == 0:
        (tmp_path / "disk").mkdir()
        mount("-t", "tmpfs", "none", tmp_path / "disk")
        mount("--bind", tmp_path / "disk", folder)
    yield folder
    if os.geteuid() == 0:
        for place in (folder, tmp_path / "disk"):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting failed ({done.stderr.strip()}): run the tests with CAP_SYS_ADMIN")


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root: run the tests as root to include this one")


@contextmanager
def unmounted(agent: AgentProcess) -> Iterator[None]:
    needs_root()
    subprocess.run(["umount", "-l", agent.work], check=True)
    yield
    mount("--bind", agent.work.with_name("disk"), agent.work)


@contextmanager
def limited(agent: AgentProcess, which: int, soft: int) -> Iterator[None]:
    before = resource.prlimit(agent.process.pid, which)
    resource.prlimit(agent.process.pid, which, (soft, before[1]))
    yield
    resource.prlimit(agent.process.pid, which, before)


def small_files(agent: AgentProcess) -> AbstractContextManager[None]:
    return limited(agent, resource.RLIMIT_FSIZE, 4096)


def no_more_descriptors(agent: AgentProcess) -> AbstractContextManager[None]:
    return limited(agent, resource.RLIMIT_NOFILE, len([*Path(f"/proc/{agent.process.pid}/fd").iterdir()]) - 4)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (unmounted, "is not mounted. "),
        (small_files, "`ulimit -f`"),
        (no_more_descriptors, "too many files are open"),
    ],
)
def test_the_agent_waits_until_its_machine_permits_it(
    source: Path, work: Path, receiver: Any, fault: Fault, told: str
) -> None:
    agent = AgentProcess(source, work, receiver.url, receiver.token("agent", "s"), "--workers", "1")
    try:
        agent.wait_for(a_mrc="released")
        with fault(agent):
            (source / "b.mrc").write_bytes((source / "a.mrc").read_bytes()[:-1] + b"b")
            agent.until(lambda: "no movie fails by it" in agent.log.read_text(), "a warning")
            shown = subprocess.run(
                [*COMMAND, "status", "--work", work],
                env=clean_environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        agent.wait_for(b_mrc="released")
    finally:
        code = agent.end()
    log = agent.log.read_text()
    assert code == 0
    assert told in log
    assert "can be used again" in log
    assert "Traceback" not in log + shown.stderr
    assert "report this" not in log + shown.stderr
    assert {state for state, _ in agent.states().values()} == {"released"}
