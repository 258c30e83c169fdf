"""Small simulated movies, made once for each test process, and agents that end with their test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.agent_process import AgentProcess, StartAgent, make_movies


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four movies."""
    return make_movies(tmp_path_factory.mktemp("simulated"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return an empty folder of a microscope."""
    (tmp_path / "microscope").mkdir()
    return tmp_path / "microscope"


@pytest.fixture
def start_agent(source: Path, tmp_path: Path) -> Iterator[StartAgent]:
    """Return a function that starts an agent: `start(url, token, *options)`; what still runs is killed at the end."""
    started: list[AgentProcess] = []

    def start(url: str, token: str, *options: str) -> AgentProcess:
        started.append(AgentProcess(source, tmp_path / "work", url, token, *options))
        return started[-1]

    yield start
    for agent in started:
        agent.end(signal.SIGKILL)
