"""The share fails, hangs, vanishes and returns. Every movie arrives, once, and the agent always ends at once."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign import IS_LONG, LONG_S, LONG_TIMEOUT_S, SEED, NoteFigures, in_length
from faulty_share import FaultyShare, faulty_share, why_not

from agents.left_behind import MOST, LeftBehind
from agents.share.reader import ShareReader
from agents.share_errors import ShareSilent
from preprocess.layouts.flat import FLAT
from preprocess.simulation import write_mrc
from tests.agents.agent_process import AgentProcess, lay, make_movie
from tests.running import COMMAND, clean_environment
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.wire.errors import NotFound

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not())]

HANG_S = "1"
ERRORS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.EACCES)
CALLS = ("readdir", "getattr", "open", "read")
END_S = in_length(30, 5)
"""SIGTERM ends the agent within this time, whatever the share does. The short form runs on busy machines."""


@pytest.fixture
def share(tmp_path: Path) -> Iterator[FaultyShare]:
    with faulty_share(tmp_path / "share") as found:
        yield found


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("movies")
    return [make_movie(folder, number) for number in range(5)]


@pytest.fixture
def start(share: FaultyShare, tmp_path: Path, receiver: Any) -> Iterator[Callable[..., AgentProcess]]:
    token, running = receiver.token("agent", "s"), list[AgentProcess]()

    def start_agent(*more: str) -> AgentProcess:
        options = (*more, "--share-timeout", HANG_S, "--give-up-seconds", "1", "--workers", "1")
        running.append(AgentProcess(share.mount, tmp_path / "work", receiver.url, token, *options))
        return running[-1]

    yield start_agent
    share.heal()
    for agent in running:
        agent.end(signal.SIGKILL)


def ended_in_s(agent: AgentProcess) -> float:
    began_s = time.monotonic()
    assert agent.end() == 0
    return time.monotonic() - began_s


def judged(*agents: AgentProcess) -> list[tuple[str, str]]:
    """Return the movies that failed or were held, with the reason."""
    lines = [line for agent in agents for line in agent.lines]
    return [(line["movie"], line["reason"]) for line in lines if line.get("state") in ("failed", "held")]


# ---- the agent


def test_errors_of_the_share_fail_no_movie(
    share: FaultyShare, movies: list[Path], start: Callable[..., AgentProcess]
) -> None:
    lay(movies[0], share.files / movies[0].name)
    agent = start()
    agent.until(agent.has_begun, "it begins")
    numbers = {"read": errno.ESTALE, "open": errno.EACCES, "getattr": errno.EIO, "readdir": errno.ENOTCONN}
    for movie, call in zip(movies[1:], CALLS, strict=True):
        share.fail(numbers[call], call)
        lay(movie, share.files / movie.name)
        agent.until(lambda call=call: os.strerror(numbers[call]) in agent.log.read_text(), f"the error of {call}")  # type: ignore[misc]
        time.sleep(1.2)  # longer than --give-up-seconds
        share.heal()
        agent.until(lambda movie=movie: movie.name in agent.states(), "the movie is found")  # type: ignore[misc]
    agent.until(lambda: list(agent.states().values()) == [("released", 1)] * 5, "all movies")
    assert judged(agent) == []


def test_a_share_that_drops_out_of_a_walk_or_a_read_has_no_movie_judged(
    share: FaultyShare, movies: list[Path], start: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    """It says of files that are there that they are not, lists nothing, and ends them in their middle."""
    names = [movie.name for movie in movies[:4]]
    agent = start()
    agent.until(agent.has_begun, "it begins")
    drops = (lambda: share.cut(names[0]), lambda: share.lose(names[1]), share.list_nothing, lambda: share.cut("_gain"))
    for movie, drop_out in zip(movies, drops, strict=False):
        if movie.name == names[3]:
            write_mrc(share.files / "3_gain.mrc", [np.ones((256, 256), np.float32)], frame_count=1, mode=2)
        lay(movie, share.files / movie.name)
        agent.until(lambda movie=movie: movie.name in agent.states(), "it is found")  # type: ignore[misc]
        drop_out()
        time.sleep(1.3)  # longer than --give-up-seconds
        share.heal()
    agent.until(lambda: list(agent.states().values()) == [("released", 1)] * 4, "all movies")
    assert judged(agent) == []


def test_a_share_that_hangs_holds_nothing(
    share: FaultyShare, movies: list[Path], start: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    lay(movies[0], share.files / movies[0].name)
    silent = "the share has not answered since"
    agent = start()
    agent.until(agent.has_begun, "it begins")
    for movie, call in zip(movies[1:], CALLS, strict=True):
        known = count(tmp_path, silent)
        share.hang(call)
        lay(movie, share.files / movie.name)
        agent.until(lambda known=known: count(tmp_path, silent) > known, f"the hang of {call} in the log")  # type: ignore[misc]
        if call == CALLS[0]:
            status = subprocess.run(
                [*COMMAND, "status", "--work", str(tmp_path / "work")],
                env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert silent in status.stdout + status.stderr
        if call == CALLS[-1]:
            assert ended_in_s(agent) <= END_S
        share.heal()
        if call != CALLS[-1]:
            agent.until(lambda movie=movie: movie.name in agent.states(), "it is found")  # type: ignore[misc]
    share.hang("getattr")
    agent = start()
    agent.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    agent.wait()
    assert time.monotonic() - began_s <= END_S
    share.heal()
    agent = start()
    agent.until(lambda: list(agent.states().values()) == [("released", 1)] * 5, "all movies")
    share.hang()
    agent.process.kill()
    agent.process.wait(END_S)


def count(tmp_path: Path, text: str) -> int:
    """Return how often the agents' log says something."""
    return (tmp_path / "work.log").read_text().count(text)


def test_a_share_that_hangs_at_the_start_is_said(share: FaultyShare, start: Callable[..., AgentProcess]) -> None:
    share.hang()
    agent = start()
    assert agent.wait() == 4
    assert "the share has not answered since" in agent.log.read_text()


@pytest.mark.parametrize("call", ["readdir", "read"])
def test_a_dry_run_says_that_the_share_does_not_answer(
    share: FaultyShare, movies: list[Path], tmp_path: Path, call: str
) -> None:
    for movie in movies[:2]:
        lay(movie, share.files / movie.name)
    share.hang(call)
    watch = ("watch", share.mount, "--session", "s", "--to", "http://127.0.0.1:9", "--share-timeout", HANG_S)
    done = subprocess.run(  # a process that is left behind keeps no pipe open
        [*COMMAND, *watch, "--dry-run"],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "the share has not answered since" in done.stdout) == (4, True), done.stdout


def test_an_unmounted_share_is_waited_for(
    share: FaultyShare, movies: list[Path], start: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    lay(movies[0], share.files / "0.tiff")
    agent = start()
    agent.until(lambda: agent.states().get("0.tiff") == ("released", 1), "the first movie")
    for away, movie in ((share.vanish, movies[1]), (share.unmount, movies[2])):
        lay(movie, share.files / movie.name)
        share.fail(errno.EIO, "read")
        agent.until(lambda movie=movie: movie.name in agent.states(), "it is found")  # type: ignore[misc]
        known = count(tmp_path, "the agent waits for it")
        away()
        agent.until(lambda known=known: count(tmp_path, "the agent waits for it") > known, "it waits")  # type: ignore[misc]
        share.unmount()
        share.heal()
        share.start()
    agent.until(lambda: list(agent.states().values()) == [("released", 1)] * 3, "all movies")
    assert judged(agent) == []


# ---- the reader


def test_the_reader_leaves_few_processes_behind_and_none_for_ever(share: FaultyShare, movies: list[Path]) -> None:
    lay(movies[0], share.files / "0.tiff")
    left_behind = LeftBehind()
    with closing(ShareReader(share.mount, FLAT, silence_s=0.3, left_behind=left_behind, first_probe_s=0.05)) as reader:
        reader.identity(share.mount / "0.tiff")
        share.hang("getattr", "readdir")
        since, seen = set(), set[int]()

        def is_full() -> bool:
            with pytest.raises(ShareSilent) as silent:
                reader.identity(share.mount / "0.tiff")
            since.add(str(silent.value))
            seen.update(left_behind.pids)
            return len(left_behind.pids) >= MOST

        wait_until(is_full, "many processes are left behind", pause_s=0.1)
        assert len(since) == 1  # the first one tells since when
        share.heal()
        wait_until(lambda: not left_behind.pids, "the processes have ended")
        assert all(map(is_gone, seen)), "each was waited for"


def test_the_reader_asks_again_as_soon_as_the_share_answers(share: FaultyShare, movies: list[Path]) -> None:
    lay(movies[0], share.files / "0.tiff")
    woken = threading.Event()
    with closing(ShareReader(share.mount, FLAT, silence_s=0.3, first_probe_s=600)) as reader:
        reader.listen(woken.set)
        share.hang("getattr")
        with pytest.raises(ShareSilent):
            reader.identity(share.mount / "0.tiff")
        woken.clear()
        share.heal()
        assert woken.wait(20)
        assert reader.identity(share.mount / "0.tiff").size_bytes == movies[0].stat().st_size


def is_gone(pid: int) -> bool:
    """Return whether there is no such process, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


# ---- the campaign


def do_something(share: FaultyShare, draw: random.Random) -> str:
    """Do something to the share; return what."""
    calls = draw.choice([(), *((call,) for call in CALLS)])
    kinds: dict[str, Callable[[], None]] = {
        "errors": lambda: share.fail(draw.choice(ERRORS), *calls),
        "hangs": lambda: share.hang(*calls),
        "vanishings": share.vanish,
        "unmounts": share.unmount,
        "losses": lambda: share.lose("."),
        "cuts": lambda: share.cut("."),
        "empty lists": share.list_nothing,
    }
    kind = draw.choice(sorted(kinds))
    kinds[kind]()
    return kind


@pytest.mark.timeout(LONG_S + LONG_TIMEOUT_S)
def test_every_movie_arrives(
    share: FaultyShare,
    tmp_path: Path,
    receiver: Any,
    start: Callable[..., AgentProcess],
    note_figures: NoteFigures,
) -> None:
    draw, until_s = random.Random(SEED), time.monotonic() + (LONG_S if IS_LONG else 5)
    agent, laid, ends, troubles = start(), 0, list[float](), Counter[str]()
    agents = [agent]
    while time.monotonic() < until_s:
        movie = make_movie(tmp_path, laid)
        lay(movie, share.files / movie.name)
        movie.unlink()
        laid += 1
        kind = do_something(share, draw)
        troubles[kind] += 1
        time.sleep(draw.uniform(0.5, 4))
        if draw.random() < 0.5 and agent.has_begun() and agent.process.poll() is None:
            ends.append(ended_in_s(agent))
        share.heal()
        if kind in ("vanishings", "unmounts"):
            share.unmount()
            share.start()
        if agent.process.poll() is not None:
            agent.wait()
            agents.append(agent := start())
            agent.until(agent.has_begun, "it begins")
        time.sleep(draw.uniform(0, 2))
    wait_until(lambda: published(receiver) == laid, lambda: agent.log.read_text()[-3000:], timeout_s=300)
    agent.until(lambda: all(state == "released" for state, _ in agent.states().values()), "all are released")
    ends.append(ended_in_s(agent))
    longest_s, forced = round(max(ends), 1), count(tmp_path, "did not end within")
    note_figures(movies=laid, **troubles, ends_by_SIGTERM=len(ends), seconds_the_longest_end=longest_s, forced=forced)
    assert max(ends) <= END_S
    assert judged(*agents) == []
    status = [*COMMAND, "status", "--work", str(tmp_path / "work"), "--json"]
    done = subprocess.run(status, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60)
    assert f'"released": {laid}' in done.stdout, done.stdout
    assert max(line["revision"] for one in agents for line in one.lines if "revision" in line) == 1


def published(receiver: Any) -> int:
    with ReceiverClient(receiver.url, receiver.token("reader", "s")) as client:
        try:
            return client.session("s").exposure_count
        except NotFound:  # no agent has come so far as to open it
            return 0
