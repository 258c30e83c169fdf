"""A movie is one exposure, whatever happens to time stamps, folders, journals, agents and sessions."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from agents.journal.journal import NAME, Journal
from agents.journal.states import State
from api.database.tables import data_folder
from tests.agents.agent_process import AgentProcess, lay, make_movies
from transfer.client import ReceiverClient
from transfer.wire.verification import FileCheck

Start = Callable[..., AgentProcess]


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four movies."""
    return make_movies(tmp_path_factory.mktemp("movies"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return an empty folder of a microscope."""
    (tmp_path / "microscope").mkdir()
    return tmp_path / "microscope"


@pytest.fixture
def start(source: Path, receiver: Any, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts an agent: `start(work, *options)`."""
    started: list[AgentProcess] = []
    token = receiver.token("agent", "s")

    def start_agent(work: str, *options: str) -> AgentProcess:
        started.append(AgentProcess(source, tmp_path / work, receiver.url, token, *options))
        return started[-1]

    yield start_agent
    for agent in started:
        agent.end(signal.SIGKILL)


def published(receiver: Any) -> list[tuple[str, int]]:
    """Return (movie, revision) of each exposure that the receiver has."""
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        page = client.exposures("s")
    return sorted((exposure.record.movie, exposure.record.revision) for exposure in page.exposures)


def aligned(*agents: AgentProcess) -> list[str]:
    """Return each alignment that agents did, by its movie."""
    return sorted(line["movie"] for agent in agents for line in agent.lines if line.get("state") == "aligned")


def journal_note(work: Path, key: str) -> str | None:
    """Return a note in an agent's journal."""
    journal = Journal(work, create=False)
    try:
        return journal.about(key)
    finally:
        journal.close()


def test_a_movie_stays_one_exposure(start: Start, source: Path, movies: Path, receiver: Any, tmp_path: Path) -> None:
    lay(movies / "0.tiff", source / "grid/a.tiff")
    lay(movies / "1.mrc", source / "b.mrcs")
    agent = start("work")
    agent.wait_for(grid_a_tiff="released", b_mrcs="released")

    # other time stamps: nothing is done again; another content with the old time stamp: it is
    for movie in (source / "grid/a.tiff", source / "b.mrcs"):
        os.utime(movie, ns=(1, movie.stat().st_mtime_ns + 3_600_000_000_000))
    times = (source / "b.mrcs").stat()
    other = bytearray((source / "b.mrcs").read_bytes())
    other[-1] ^= 1
    (tmp_path / "other").write_bytes(other)
    os.utime(tmp_path / "other", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "other").rename(source / "b.mrcs")
    agent.wait_for(revision=2, b_mrcs="released")
    assert "replaced" in agent.line("b.mrcs", "found")["reason"]

    # a folder gets another name: its movie is known
    (source / "grid").rename(source / "square")
    agent.wait_for(square_a_tiff="released")
    assert agent.line("square/a.tiff", "released")["reason"].startswith("the receiver has it: ")
    first, alias = agent.line("grid/a.tiff", "released"), agent.line("square/a.tiff", "released")
    assert alias["exposure_id"] == first["exposure_id"]
    assert aligned(agent) == ["b.mrcs", "b.mrcs", "grid/a.tiff"]
    agent.end(signal.SIGTERM)

    # a journal of length 0, and another setting: the receiver is asked, and nothing is done again
    (tmp_path / "work" / NAME).write_bytes(b"")
    again = start("work", "--exit-when-idle", "0.5", "--bin", "2")
    assert again.wait() == 0
    assert "is empty" in again.log.read_text()
    assert again.states() == {"square/a.tiff": ("released", 1), "b.mrcs": ("released", 2)}
    assert aligned(again) == []
    assert published(receiver) == [("b.mrcs", 2), ("grid/a.tiff", 1)]

    # another session under the same name: nothing is sent to it
    journal = Journal(tmp_path / "work")
    journal.note(session_uuid="00000000-0000-0000-0000-000000000001")
    journal.close()
    stopped = start("work")
    assert stopped.wait() == 2
    assert "has another session 's'" in stopped.log.read_text()


def test_one_agent_works_and_the_other_waits(start: Start, source: Path, movies: Path, receiver: Any) -> None:
    first = start("first")
    lay(movies / "0.tiff", source / "a.tiff")
    first.wait_for(a_tiff="released")
    idle = start("idle", "--exit-when-idle", "0.5")
    assert idle.wait() == 0
    assert aligned(idle) == []
    waiting = next(line["waiting"] for line in idle.lines if line.get("waiting"))
    assert waiting.startswith("another agent works on this session: agent ")
    second = start("second")
    second.until(lambda: any(line.get("waiting") for line in second.lines), "it waits")
    lay(movies / "2.tiff", source / "b.tiff")
    first.wait_for(b_tiff="released")
    first.end(signal.SIGTERM)
    lay(movies / "3.tiff", source / "c.tiff")
    second.wait_for(a_tiff="released", b_tiff="released", c_tiff="released")
    assert aligned(second) == ["c.tiff"]
    assert published(receiver) == [("a.tiff", 1), ("b.tiff", 1), ("c.tiff", 1)]


def test_agents_beside_each_other_share_a_folder(start: Start, source: Path, movies: Path, receiver: Any) -> None:
    for number, name in enumerate(("0.tiff", "1.mrc", "2.tiff", "3.tiff")):
        lay(movies / name, source / f"{number}{Path(name).suffix.replace('.mrc', '.mrcs')}")
    agents = [start(work, "--beside", "--source", "k3") for work in ("one", "two")]
    for agent in agents:
        agent.wait_for(**dict.fromkeys(("0_tiff", "1_mrcs", "2_tiff", "3_tiff"), "released"))
    assert aligned(*agents) == ["0.tiff", "1.mrcs", "2.tiff", "3.tiff"]
    assert published(receiver) == [(name, 1) for name in ("0.tiff", "1.mrcs", "2.tiff", "3.tiff")]


def test_what_a_receiver_lost_is_sent_again(
    start: Start, source: Path, movies: Path, receiver: Any, tmp_path: Path
) -> None:
    with receiver.app.state.receiver.database.write() as connection:
        known = data_folder.c.folder_id.is_not(None)
        connection.execute(update(data_folder).where(~known).values(folder_id=uuid4()))
    lay(movies / "0.tiff", source / "a.tiff")
    lay(movies / "2.tiff", source / "b.tiff")
    agent = start("work")
    agent.wait_for(a_tiff="released", b_tiff="released")
    agent.until(lambda: bool(journal_note(tmp_path / "work", "receiver_folder_id")), "it knows the data folder")
    agent.end(signal.SIGTERM)
    shutil.rmtree(receiver.data / "sessions" / "s" / "files")
    journal = Journal(tmp_path / "work")
    journal.note(receiver_folder_id="00000000-0000-0000-0000-000000000001")  # as if it had been another data folder
    journal.close()
    (source / "b.tiff").unlink()
    again = start("work")
    again.wait_for(revision=2, a_tiff="released", b_tiff="failed")
    assert next(line["state"] for line in again.lines if line.get("movie") == "a.tiff") == State.FOUND
    lost = again.line("b.tiff", "failed")
    assert lost["reason"] == "the movie is gone, so it cannot be processed again; the receiver has lost it"
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        there = {file.path for file in client.files("s") if file.on_disk is FileCheck.SAME}
    assert "a.mrc" in there
    assert "b.mrc" not in there
