"""kill -9 of agent and worker at random points: nothing lost, nothing twice, the source untouched."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from campaign import IS_LONG, LONG_TIMEOUT_S, SEED, NoteFigures, in_length

from tests.agents.agent_process import AgentProcess, lay, listing, make_movie, make_movies
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.file_digest import file_digest

KILLS = in_length(3, 120)
MOVIES = 8
LONGEST_LIFE_S = 3.0
LAST_RUN_S = in_length(60, 1800)


def kill_worker(agent: AgentProcess) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(agent.process.pid).children():
            if "agents.workers.child" in child.cmdline():
                child.kill()


def kill_again_and_again(start: Any, lay_next: Any, chance: random.Random) -> Counter[str]:
    """Start agents and kill them, now and then only their worker; in the long form a new movie comes each time."""
    kills: Counter[str] = Counter()
    aligned_before = -1
    while kills["agent"] < KILLS:
        agent = start()
        if IS_LONG:
            lay_next()
        if kills["agent"] % 4:  # the others are killed while they start
            wait_until(agent.has_begun, "the agent's start", alive=lambda agent=agent: agent.process.poll() is None)
        time.sleep(chance.uniform(0, LONGEST_LIFE_S))
        aligned = agent.log.read_text().count(": aligned")
        if aligned > aligned_before and chance.random() < 0.3:  # a movie whose worker dies three times counts as failed
            aligned_before = aligned
            kill_worker(agent)
            kills["worker"] += 1
            time.sleep(chance.uniform(0, 1))
        agent.end(signal.SIGKILL)
        kills["agent"] += 1
    return kills


@pytest.mark.timeout(LONG_TIMEOUT_S)
def test_killed_at_random_points_nothing_is_lost_and_nothing_twice(
    tmp_path: Path, receiver: Any, note_figures: NoteFigures
) -> None:
    (tmp_path / "simulated").mkdir()
    source, numbers = tmp_path / "microscope", itertools.count()

    def lay_next() -> None:
        number = next(numbers)
        movie = make_movie(tmp_path / "simulated", number)
        lay(movie, source / f"grid{number % 3}" / f"{number // 3}{movie.suffix}")

    for _ in range(MOVIES):
        lay_next()
    token = receiver.token("agent", "s")

    def start(*options: str) -> AgentProcess:
        return AgentProcess(source, tmp_path / "work", receiver.url, token, *options)

    kills = kill_again_and_again(start, lay_next, random.Random(SEED))
    before, movie_count = listing(source), next(numbers)
    last = start("--exit-when-idle", "1")
    last.process.wait(LAST_RUN_S)
    assert last.wait() == 0, last.log.read_text()
    assert last.lines[-1]["summary"]["released"] == movie_count
    assert listing(source) == before

    with ReceiverClient(receiver.url, token) as client:
        page = client.exposures("s")
        records = [exposure.record for exposure in page.exposures]
        while page.next:
            page = client.exposures("s", page.next)
            records += [exposure.record for exposure in page.exposures]
    assert sorted(record.movie for record in records) == sorted(
        str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()
    )
    assert {record.revision for record in records} == {1}
    named = [file for record in records for file in record.files]
    assert {file.revision for file in named} == {1}
    assert len({file.path for file in named}) == len(named)
    files = receiver.data / "sessions/s/files"
    assert {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()} == {f.path for f in named}
    for file in named:
        with (files / file.path).open("rb") as content:
            assert file_digest(content.fileno(), file.size_bytes) == file.digest
    note_figures(
        kills_of_the_agent=kills["agent"], kills_of_its_worker=kills["worker"], movies=movie_count, files=len(named)
    )


@pytest.mark.parametrize("for_ever", [False, True])
def test_a_worker_that_dies_is_replaced_until_it_died_three_times(
    tmp_path: Path, receiver: Any, for_ever: bool
) -> None:
    (tmp_path / "simulated").mkdir()
    make_movies(tmp_path / "simulated")
    source = tmp_path / "microscope"
    lay(tmp_path / "simulated/0.tiff", source / "a.tiff")
    agent = AgentProcess(source, tmp_path / "work", receiver.url, receiver.token("agent", "s"), "--exit-when-idle", "1")
    agent.wait_for(a_tiff="finished")
    kill_worker(agent)
    while for_ever and agent.process.poll() is None:
        kill_worker(agent)
        time.sleep(0.01)
    assert agent.wait() == (3 if for_ever else 0), agent.log.read_text()
    if for_ever:
        assert "worker died: killed by signal 9 (SIGKILL), 3 times" in agent.line("a.tiff", "failed")["reason"]
    else:
        assert agent.states() == {"a.tiff": ("released", 1)}
