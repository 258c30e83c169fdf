"""kill -9 of agent, worker, receiver and Scipion's follower while a session runs through the whole path."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agents.agent_process import AgentProcess, lay, listing, make_movie
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.file_digest import file_digest

ROOT = Path(__file__).parents[2]
SCIPION = Path(os.environ.get("CRYOFERRY_TEST_SCIPION") or ROOT / ".scipion")
SHORT_S, LONG_S = 20.0, 3600.0
REGISTERED_TIMEOUT_S = 150.0


class WholePath:
    """The whole path as processes, each of which can be killed and comes back."""

    def __init__(self, folder: Path, receiver: Any) -> None:
        self.receiver, self.source, self.work = receiver, folder / "microscope", folder / "work"
        self.projects = receiver.data / "scipion-projects"
        self.token = receiver.token("agent", "s")
        self.receiver.start()
        self.agent = self._start_agent()

    def _start_agent(self) -> AgentProcess:
        return AgentProcess(self.source, self.work, self.receiver.url, self.token)

    def kill_agent(self) -> bool:
        self.agent.end(signal.SIGKILL)
        self.agent = self._start_agent()
        return True

    def kill_receiver(self) -> bool:
        self.receiver.kill()
        self.receiver.start()
        return True

    def kill_worker(self) -> bool:
        for child in psutil.Process(self.agent.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "agents.workers.child" in child.cmdline():
                    child.kill()
                    return True
        return False

    def kill_follower(self) -> bool:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                command = " ".join(process.cmdline())
                if "pw_protocol_run" in command and str(self.projects) in command:
                    process.kill()
                    return True
        return False


@pytest.mark.scipion
@pytest.mark.skipif(not (SCIPION / "cryoferry-scipion.json").is_file(), reason="no Scipion here: `make scipion`")
def test_nothing_is_lost_nothing_twice_and_nothing_half(tmp_path: Path, receiver_process: Any) -> None:
    (tmp_path / "simulated").mkdir()
    (tmp_path / "microscope").mkdir()
    receiver_process.options = ("--scipion", str(SCIPION))
    whole = WholePath(tmp_path, receiver_process)
    try:
        kills = _kill_at_random(whole, tmp_path / "simulated")
        laid = listing(whole.source)
        movie_count = sum(path.is_file() for path in whole.source.rglob("*"))
        with ReceiverClient(receiver_process.url, whole.token) as client:
            exposures = _wait_until_registered(client, movie_count)
            client.end_session("s")
            _wait_until_closed(client)
    finally:
        whole.agent.end()
    assert kills["agent"]
    assert kills["receiver"]
    assert listing(whole.source) == laid
    assert len({exposure.record.movie for exposure in exposures}) == len(exposures) == movie_count
    assert {exposure.record.revision for exposure in exposures} == {1}
    _check_files(receiver_process.data / "sessions" / "s" / "files", exposures)
    _check_scipion(whole.projects / "s", exposures)


def _kill_at_random(whole: WholePath, simulated: Path) -> Counter[str]:
    """Let a movie appear, wait, kill something; again until the time is over."""
    chance = random.Random(20261122)
    seconds = LONG_S if os.environ.get("CRYOFERRY_CAMPAIGN") == "1" else SHORT_S
    until, kills = time.monotonic() + seconds, Counter[str]()
    for number in itertools.count():
        if time.monotonic() > until:
            return kills
        movie = make_movie(simulated, number)
        lay(movie, whole.source / f"grid{number % 2}" / f"{number // 2}{movie.suffix}")
        time.sleep(chance.uniform(0.3, 3))
        victim = chance.choice(["agent", "worker", "receiver", "follower"])
        kills[victim] += getattr(whole, f"kill_{victim}")()
    raise AssertionError


def _wait_until_registered(client: ReceiverClient, movie_count: int) -> list[Any]:
    def states() -> Counter[str]:
        return Counter(entry.state.value for exposure in _all_exposures(client) for entry in exposure.registrations)

    wait_until(
        lambda: states() == {"registered": 2 * movie_count},
        lambda: f"{movie_count} exposures registered twice each: {states()}",
        timeout_s=REGISTERED_TIMEOUT_S,
        pause_s=0.1,
    )
    return list(_all_exposures(client))


def _all_exposures(client: ReceiverClient) -> Iterator[Any]:
    page = client.exposures("s")
    yield from page.exposures
    while page.next:
        page = client.exposures("s", page.next)
        yield from page.exposures


def _wait_until_closed(client: ReceiverClient) -> None:
    wait_until(lambda: client.session("s").closed, "closed sets", timeout_s=REGISTERED_TIMEOUT_S, pause_s=0.1)


def _check_files(files: Path, exposures: list[Any]) -> None:
    """Every visible file is one that a record names, with its digest: no partial file, no stranger."""
    named = {file.path: file for exposure in exposures for file in exposure.record.files}
    visible = {str(path.relative_to(files)): path for path in files.rglob("*") if path.is_file()}
    assert visible.keys() == named.keys()
    for name, path in visible.items():
        with path.open("rb") as opened:
            assert file_digest(opened.fileno(), path.stat().st_size) == named[name].digest, name


def _check_scipion(project: Path, exposures: list[Any]) -> None:
    description = json.loads((SCIPION / "cryoferry-scipion.json").read_text("utf-8"))
    inspector = ROOT / "tests/integration/scipion_inspector.py"
    seen = subprocess.run(
        [description["python"], str(inspector), str(project)],
        env={**os.environ, **description["environment"]},
        capture_output=True,
        text=True,
        check=True,
    )
    (protocol,) = json.loads(seen.stdout)["runs"]
    micrographs = protocol["outputs"]["outputMicrographs"]
    names = [item["name"] for item in micrographs["items"]]
    assert sorted(names) == sorted(exposure.micrograph_name for exposure in exposures)
    assert all(item["exists"] for item in micrographs["items"])
    assert micrographs["stream"] == "closed"
