"""The share fails, hangs, vanishes and returns. Every movie arrives, once, and the agent always ends at once."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from campaign import IS_LONG, LONG_TIMEOUT_S, SEED, NoteFigures
from faulty_share import FaultyShare, faulty_share, why_not

from agents.left_behind import MOST, LeftBehind
from agents.share.reader import ShareReader
from agents.share_errors import ShareSilent
from tests.agents.agent_process import AgentProcess, lay, make_movie
from tests.running import COMMAND, clean_environment, has_ended
from tests.waiting import wait_until
from transfer.client import ReceiverClient

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not())]

HANG_S = "1.5"
ERRORS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.EACCES)
END_S = 5.0
"""SIGTERM ends the agent within this time, whatever the share does."""


@pytest.fixture
def share(tmp_path: Path) -> Iterator[FaultyShare]:
    with faulty_share(tmp_path / "share") as found:
        yield found


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("movies")
    return [make_movie(folder, number) for number in range(3)]


@pytest.fixture
def start(share: FaultyShare, tmp_path: Path, receiver: Any) -> Iterator[Callable[[], AgentProcess]]:
    token, running = receiver.token("agent", "s"), list[AgentProcess]()

    def start_agent() -> AgentProcess:
        options = ("--share-timeout", HANG_S, "--give-up-seconds", "1", "--workers", "1")
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


# ---- the agent


@pytest.mark.parametrize("call", ["read", "open", "getattr", "readdir"])
def test_errors_of_the_share_fail_no_movie(
    share: FaultyShare, movies: list[Path], start: Callable[[], AgentProcess], call: str
) -> None:
    lay(movies[0], share.files / "0.tiff")
    agent = start()
    agent.until(lambda: agent.states().get("0.tiff") == ("released", 1), "the first movie")
    numbers = {"read": errno.ESTALE, "open": errno.EACCES, "getattr": errno.EIO, "readdir": errno.ENOTCONN}
    share.fail(numbers[call], call)
    lay(movies[1], share.files / "1.mrc")
    lay(movies[2], share.files / "2.tiff")
    agent.until(lambda: os.strerror(numbers[call]) in agent.log.read_text(), "the error in the log")
    time.sleep(3)  # much longer than --give-up-seconds
    share.heal()
    agent.until(lambda: list(agent.states().values()) == [("released", 1)] * 3, "all movies")
    assert not [line for line in agent.lines if line.get("state") in ("failed", "held")]


@pytest.mark.parametrize("call", ["readdir", "getattr", "open", "read"])
def test_a_share_that_hangs_holds_nothing(
    share: FaultyShare, movies: list[Path], start: Callable[[], AgentProcess], tmp_path: Path, call: str
) -> None:
    lay(movies[0], share.files / "0.tiff")
    agent = start()
    agent.until(lambda: agent.states().get("0.tiff") == ("released", 1), "the first movie")
    share.hang(call)
    lay(movies[1], share.files / "1.mrc")
    agent.until(lambda: "the share has not answered since" in agent.log.read_text(), "the hang in the log")
    status = subprocess.run(
        [*COMMAND, "status", "--work", str(tmp_path / "work")],
        env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "the share has not answered since" in status.stdout + status.stderr
    assert ended_in_s(agent) <= END_S
    agent = start()
    agent.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    agent.wait()
    assert time.monotonic() - began_s <= END_S
    share.heal()
    agent = start()
    agent.until(lambda: agent.states().get("1.mrc") == ("released", 1), "the second movie")
    share.hang()
    agent.process.kill()
    agent.process.wait(END_S)


def test_a_share_that_hangs_at_the_start_is_said(share: FaultyShare, start: Callable[[], AgentProcess]) -> None:
    share.hang()
    agent = start()
    assert agent.wait() == 4
    assert "the share has not answered since" in agent.log.read_text()


def test_an_unmounted_share_is_waited_for(
    share: FaultyShare, movies: list[Path], start: Callable[[], AgentProcess]
) -> None:
    lay(movies[0], share.files / "0.tiff")
    agent = start()
    agent.until(lambda: agent.states().get("0.tiff") == ("released", 1), "the first movie")
    for away in (share.vanish, share.unmount):
        lay(movies[1], share.files / "1.mrc")
        share.fail(errno.EIO, "read")
        agent.until(lambda: agent.states().get("1.mrc", ("", 0))[0] in ("found", "finished", "released"), "it is found")
        away()
        time.sleep(2)
        share.unmount()
        share.heal()
        share.start()
        agent.until(lambda: agent.states().get("1.mrc") == ("released", 1), "the second movie")
    assert not [line for line in agent.lines if line.get("state") in ("failed", "held")]


# ---- the reader


def test_the_reader_leaves_few_processes_behind(share: FaultyShare, movies: list[Path]) -> None:
    lay(movies[0], share.files / "0.tiff")
    left_behind = LeftBehind()
    reader = ShareReader(share.mount, "flat", silence_s=0.3, left_behind=left_behind)
    reader.identity(share.mount / "0.tiff")
    share.hang("getattr")
    since = set()
    pids = []
    for _ in range(MOST + 3):
        reader._next_try_s = 0.0  # as if the pause were over
        with pytest.raises(ShareSilent) as silent:
            reader.identity(share.mount / "0.tiff")
        since.add(str(silent.value))
    assert len(since) == 1  # the first one tells since when
    assert not left_behind.may_start
    pids = [process.pid for process in left_behind._processes]
    share.heal()
    wait_until(lambda: left_behind.may_start and all(map(has_ended, pids)), "the processes have ended")
    reader._next_try_s = 0.0
    assert reader.identity(share.mount / "0.tiff").size_bytes == movies[0].stat().st_size
    reader.close()


# ---- the campaign


def long_share(share: FaultyShare, draw: random.Random) -> str:
    """Do something to the share; return what."""
    calls = draw.choice([(), ("read",), ("open",), ("getattr",), ("readdir",)])
    kind = draw.choice(["errors", "hangs", "vanishes", "is unmounted"])
    if kind == "errors":
        share.fail(
            draw.choice([errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.EACCES]), *calls
        )
    elif kind == "hangs":
        share.hang(*calls)
    elif kind == "vanishes":
        share.vanish()
    else:
        share.unmount()
    return kind


@pytest.mark.timeout(2 * LONG_TIMEOUT_S)
def test_every_movie_arrives(
    share: FaultyShare,
    tmp_path: Path,
    receiver: Any,
    start: Callable[[], AgentProcess],
    note_figures: NoteFigures,
) -> None:
    draw, until_s = random.Random(SEED), time.monotonic() + (3600 if IS_LONG else 8)
    agent, laid, ends, troubles = start(), 0, list[float](), dict[str, int]()
    while time.monotonic() < until_s:
        movie = make_movie(tmp_path, laid)
        lay(movie, share.files / movie.name)
        movie.unlink()
        laid += 1
        kind = long_share(share, draw)
        troubles[kind] = troubles.get(kind, 0) + 1
        time.sleep(draw.uniform(0.5, 4))
        is_ended = draw.random() < 0.5
        if is_ended and agent.has_begun():
            began_s = time.monotonic()
            agent.end()
            ends.append(time.monotonic() - began_s)
        share.heal()
        if kind in ("vanishes", "is unmounted"):
            share.unmount()
            share.start()
        if agent.process.poll() is not None:
            agent = start()
            agent.until(agent.has_begun, "it begins")
        time.sleep(draw.uniform(0, 2))
    wait_until(lambda: published(receiver) == laid, lambda: agent.log.read_text()[-3000:], timeout_s=300)
    note_figures(movies=laid, troubles=troubles, ends=len(ends), longest_end_s=round(max(ends, default=0), 1))
    assert max(ends, default=0) <= END_S
    ended_in_s(agent)
    status = [*COMMAND, "status", "--work", str(tmp_path / "work"), "--json"]
    done = subprocess.run(status, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60)
    assert f'"released": {laid}' in done.stdout, done.stdout


def published(receiver: Any) -> int:
    with ReceiverClient(receiver.url, receiver.token("reader", "s")) as client:
        return client.session("s").exposure_count
