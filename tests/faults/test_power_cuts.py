"""Power cuts of the receiver's disk, and of the agent's.

What a client has a receipt for is on the receiver's disk, whole; what was interrupted goes on. An agent whose journal
was cut off loses no movie, and sends none twice.
"""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from campaign import LONG_TIMEOUT_S, SEED, NoteFigures, in_length
from faulty_calls import FaultyCalls
from power_cut_disk import PowerCutDisk
from session_clients import (
    SESSION,
    Exposures,
    LargeFiles,
    SessionClient,
    SmallFiles,
    are_registered,
    assert_in_star,
    assert_listed,
    exposures_of,
    filling,
    is_on_disk,
    not_on_disk,
)

from tests.agents.agent_process import AgentProcess, make_movie
from tests.conftest import ProcessReceiver
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.disk.files import sync_folder
from transfer.wire.protocol import Exposure
from transfer.wire.receipt import Receipt

CUTS = in_length(2, 104)
CUTS_OF_A_DISK = 6
CUTS_WITHOUT_SYNC = in_length(1, 10)
CUTS_OF_AN_AGENT = in_length(1, 40)
DISK_MIB = 1536
CUT_DURING_A_START = 0.2
SESSION_OF_AGENTS = "s"


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[], PowerCutDisk]]:
    """Return a function that makes a disk whose power can be cut."""
    disks: list[PowerCutDisk] = []
    numbers = itertools.count()

    def make() -> PowerCutDisk:
        for disk in disks:
            disk.close()
        disks.append(PowerCutDisk(tmp_path / f"disk{next(numbers)}", DISK_MIB))
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


class CutReceiver:
    """A receiver whose data folder is on a disk of which the power is cut, and its clients."""

    def __init__(self, disk: PowerCutDisk, receiver: ProcessReceiver, seed: int) -> None:
        self.disk, self.receiver = disk, receiver
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        receiver.data = disk.mount_point / "data"
        receiver.start()
        self.token = receiver.token("agent")
        with ReceiverClient(receiver.url, self.token) as client:
            client.open_session(SESSION)
        disk.sync()  # of what stands there since long before
        self.clients: list[SessionClient] = [
            kind(receiver.url, self.token, receiver.log.parent / f"source-{seed}", number)
            for number, kind in enumerate((SmallFiles, LargeFiles, Exposures))
        ]

    def cut(self) -> None:
        """Cut the power, now. The receiver goes on until it is killed, without a disk."""
        self.disk.cut()
        self.counts["cuts"] += 1
        time.sleep(self.chance.choice([0.0, 0.1]))
        self.receiver.kill()
        self.disk.recover()

    def start_again(self) -> None:
        """Start the receiver; now and then the power is cut again while it starts."""
        while self.chance.random() < CUT_DURING_A_START:
            cutting = threading.Timer(self.chance.uniform(0.3, 1.0), self.disk.cut)
            cutting.start()
            try:
                self.receiver.start()
            except (AssertionError, KeyError):  # it printed nothing, or an error
                self.counts["starts that a cut ended"] += 1
            cutting.join()
            self.counts["cuts"] += 1
            self.receiver.kill()
            self.disk.recover()
        self.receiver.start()

    def check(self) -> None:
        """Check, after a cut, everything that any client was told before it; the receiver starts in between."""
        receipts = [receipt for client in self.clients for receipt in list(client.receipts)]
        published = [record for client in self.clients for record in list(client.published)]
        assert not_on_disk(self.receiver.data, receipts) == []
        self.start_again()
        wait_until(self._is_ready, "readyz", timeout_s=30)
        assert not_on_disk(self.receiver.data, receipts) == []
        with ReceiverClient(self.receiver.url, self.token) as client:
            assert_listed(client, receipts)
            wait_until(lambda: are_registered(client, published), "registered exposures", pause_s=0.1)
        assert_in_star(self.receiver.data, published)
        self.counts["receipts checked"] += len(receipts)
        self.counts["exposures checked"] += len(published)

    def _is_ready(self) -> bool:
        return httpx.get(f"{self.receiver.url}/readyz", trust_env=False).status_code == 200


@pytest.mark.timeout(LONG_TIMEOUT_S)
def test_no_receipt_is_lost_by_a_power_cut(
    make_disk: Callable[[], PowerCutDisk], receiver_process: Any, note_figures: NoteFigures
) -> None:
    counts: Counter[str] = Counter()
    for disk_number in itertools.count():
        if counts["cuts"] >= CUTS:
            break
        whole = CutReceiver(make_disk(), receiver_process, SEED + disk_number)
        with filling(whole.clients):
            while whole.counts["cuts"] < min(CUTS_OF_A_DISK, CUTS - counts["cuts"]):
                time.sleep(whole.chance.uniform(0.1, 1.0))
                whole.cut()
                whole.check()
        for client in whole.clients:
            whole.counts["receipts"] += len(client.receipts)
            whole.counts["exposures"] += len(client.published)
            whole.counts["requests repeated"] += client.repeated.total()
        receiver_process.kill()
        counts += whole.counts
    assert counts["receipts"] > counts["exposures"] > 0
    assert counts["requests repeated"] > 0
    note_figures(**{name.replace(" ", "_"): count for name, count in counts.items()}, receipts_lost=0)


@pytest.mark.timeout(LONG_TIMEOUT_S)
def test_without_syncs_the_same_cuts_lose_receipts(
    make_disk: Callable[[], PowerCutDisk], receiver_process: Any, tmp_path: Path, note_figures: NoteFigures
) -> None:
    """The control: were nothing lost here, the test above could not fail."""
    calls = FaultyCalls(tmp_path)
    receiver_process.prefix = calls.prefix()
    counts: Counter[str] = Counter()
    for number in range(CUTS_WITHOUT_SYNC):
        whole = CutReceiver(make_disk(), receiver_process, SEED + number)
        calls.begin("no-syncs")
        for client in whole.clients:
            client.start()
        time.sleep(1.0 + whole.chance.random())
        receipts = [receipt for client in whole.clients for receipt in list(client.receipts)]
        whole.cut()
        assert calls.end() > 0
        counts["receipts"] += len(receipts)
        counts["lost"] += len(not_on_disk(receiver_process.data, receipts))
        for client in whole.clients:
            client.abandon()
    assert counts["lost"] > counts["receipts"] / 2
    note_figures(cuts_without_fsync=CUTS_WITHOUT_SYNC, receipts=counts["receipts"], of_them_lost=counts["lost"])


@pytest.mark.timeout(LONG_TIMEOUT_S)
def test_an_agent_whose_power_is_cut_loses_nothing_and_repeats_nothing(
    make_disk: Callable[[], PowerCutDisk], receiver: Any, tmp_path: Path, note_figures: NoteFigures
) -> None:
    disk, chance = make_disk(), random.Random(SEED)
    work, source, token = tmp_path / "work", tmp_path / "microscope", receiver.token("agent", SESSION_OF_AGENTS)
    work.symlink_to(disk.mount_point / "work")
    source.mkdir()
    (disk.mount_point / "work").mkdir()
    sync_folder(disk.mount_point)  # a cut before the agent has written anything must not take the folder away
    for number in range(CUTS_OF_AN_AGENT):
        agent = AgentProcess(source, work, receiver.url, token)
        try:
            lay_movie(source, number)
            time.sleep(chance.uniform(1.0, in_length(2, 6)))
            disk.cut()
            time.sleep(chance.choice([0.0, 0.1, 1.0]))
        finally:
            agent.end(signal.SIGKILL)
        disk.recover()
    agent = AgentProcess(source, work, receiver.url, token)
    try:
        lay_movie(source, CUTS_OF_AN_AGENT)
        wanted = {path.name for path in source.iterdir()}
        exposures, receipts = _wait_for_movies(agent, wanted, receiver.url, token)
    finally:
        agent.end()
    assert len(exposures) == CUTS_OF_AN_AGENT + 1
    assert {one.record.revision for one in exposures} == {1}
    named = {(file.path, file.digest) for one in exposures for file in one.record.files}
    assert {(receipt.path, receipt.digest) for receipt in receipts} == named
    assert all(is_on_disk(receiver.data, receipt) for receipt in receipts)
    assert not [line for line in agent.lines if line.get("state") in ("failed", "held")]
    note_figures(cuts_of_the_agent=CUTS_OF_AN_AGENT, movies=len(exposures), files=len(receipts))


def lay_movie(source: Path, number: int) -> None:
    """Put a movie of its own content into the source, in one step."""
    movie = make_movie(source.parent, number)
    movie.rename(source / movie.name)


def _wait_for_movies(
    agent: AgentProcess, wanted: set[str], url: str, token: str
) -> tuple[list[Exposure], list[Receipt]]:
    """Return the exposures and the files of the session when every movie is published."""
    with ReceiverClient(url, token) as client:
        client.open_session(SESSION_OF_AGENTS)  # the agent may not have come to it yet
        wait_until(
            lambda: {one.record.movie for one in exposures_of(client, SESSION_OF_AGENTS)} == wanted,
            lambda: f"all movies; the agent's log:\n{agent.log.read_text()}",
            timeout_s=in_length(90, 900),
            alive=lambda: agent.process.poll() is None,
        )
        return exposures_of(client, SESSION_OF_AGENTS), list(client.files(SESSION_OF_AGENTS))
