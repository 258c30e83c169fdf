"""A fault at every call of an upload and of a registration that writes, syncs, or gives a name.

For each call and each fault: no receipt for a file that is not whole, the client's next try succeeds, and an exposure
is registered once. The long form does all of them, the short form a few.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from campaign import IS_LONG, LONG_TIMEOUT_S, SEED, NoteFigures, in_length
from injected_faults import CALLS, FAULTS, Call, Strace, require_strace
from session_clients import (
    SESSION,
    are_registered,
    assert_in_star,
    assert_listed,
    exposure_record,
    is_on_disk,
    micrograph_bytes,
)

from tests.running import has_ended
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import TemporaryError
from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.receipt import Receipt

NEXT_TRY_S = 30.0
COUNTING_RUNS = in_length(1, 3)
REPEATS_WITHOUT_HIT = 3
RUNS_OF_A_FOLDER = 80
SHORT = {
    "one-request": [("fsync", "EIO", 0.1), ("linkat", "SIGKILL", 1.0), ("pwrite64", "ENOSPC", 0.3)],
    "in-parts": [("fdatasync", "EROFS", 0.4), ("pwrite64", "SIGKILL", 0.3)],
    "registration": [("rename", "EIO", 1.0), ("fsync", "SIGKILL", 0.5)],
}
"""What the short form injects: call, fault, and at which of a thread's calls of this name, as a fraction of them."""


class Scenario:
    """One thing that is done with a receiver again and again, each time with another name, sometimes under a fault."""

    name = ""
    calls = tuple(call for call in CALLS if call != "write")  # a thread of requests writes to wake up another one

    def __init__(self, folder: Path, receiver: Any) -> None:
        self.receiver, self.data, self.folder = receiver, receiver.data, folder
        self.log = folder / "strace.log"
        self._numbers = itertools.count()
        self._chance = random.Random(SEED)
        self.name_of_run = ""
        self._start()

    def _start(self) -> None:
        self.receipts: list[Receipt] = []
        self.records: list[ExposureRecord] = []
        self.receiver.start()
        self.client = ReceiverClient(self.receiver.url, self.receiver.token("agent"))
        self.client.open_session(SESSION)
        # One connection: requests come one after the other, and the receiver's same thread does them.
        self.sender = Sender(self.client, connections=1, give_up_after_s=0.2, quiet_s=0.1)

    def close(self) -> None:
        self.sender.close()
        self.client.close()
        self.receiver.kill()

    def renew(self) -> None:
        """Begin with an empty data folder when there is much in it; the first run, which makes folders, is done."""
        if len(self.receipts) + len(self.records) > RUNS_OF_A_FOLDER:
            self.close()
            shutil.rmtree(self.data)
            self._start()
            self.run(self.next_name())

    def next_name(self) -> str:
        return f"{self.name}-{next(self._numbers)}"

    # what the kinds of scenarios differ in

    def prepare(self, name: str) -> None:
        """Do what is not under a fault."""

    def do(self, name: str) -> object:
        """Try what is under a fault; an acknowledgement, or a TemporaryError."""
        raise NotImplementedError

    def finish(self, name: str, strace: Strace) -> None:
        """Wait, under a fault, for what the receiver does after its answer."""

    def check(self, name: str) -> None:
        """Check what must be there now."""
        raise NotImplementedError

    # one run

    def run(self, name: str, call: str | None = None, fault: str | None = None, when: int = 0) -> list[Call]:
        """Do the thing once under a fault, then until it succeeds; return the calls of the first time."""
        self.name_of_run = name
        self.prepare(name)
        acknowledged = None
        with self._strace(call, fault, when) as strace:
            with contextlib.suppress(TemporaryError):
                acknowledged = self.do(name)
            self.finish(name, strace)
        pid = self.receiver.process.pid
        calls = strace.calls()
        if fault == "SIGKILL" and (has_ended(pid) or any(made.injected for made in calls)):
            wait_until(lambda: has_ended(pid), "the receiver's end")
            self.receiver.kill()  # collects the ended process
            self.receiver.start()
        else:
            assert not has_ended(pid), "the receiver ended by itself"
        if isinstance(acknowledged, Receipt):
            self._check_receipt(acknowledged, [made for made in calls if made.injected])
        self.insist(name)
        self.check(name)
        return calls

    def _strace(self, call: str | None, fault: str | None, when: int) -> Strace:
        calls = (call,) if call else self.calls
        return Strace(self.receiver.process.pid, self.log, calls, fault=fault, when=when)

    def _check_receipt(self, receipt: Receipt, hits: list[Call]) -> None:
        assert is_on_disk(self.data, receipt), f"a receipt without a whole file, after {hits}"
        needed = [hit for hit in hits if ".part" in hit.arguments or hit.name in ("fsync", "linkat")]
        assert not needed, f"a receipt although {needed} failed"

    def insist(self, name: str) -> None:
        """Do it again until it succeeds."""
        until = time.monotonic() + NEXT_TRY_S
        while True:
            try:
                self.do(name)
            except TemporaryError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return


class Upload(Scenario):
    """An upload; its size decides how it goes."""

    size_bytes = 0

    def prepare(self, name: str) -> None:
        (self.folder / name).write_bytes(self._chance.randbytes(self.size_bytes))

    def do(self, name: str) -> Receipt:
        return self.sender.send(FileToSend(self.folder / name, SESSION, name))

    def check(self, name: str) -> None:
        receipt = self.do(name)
        assert is_on_disk(self.data, receipt)
        assert (self.data / "sessions" / SESSION / "files" / name).read_bytes() == (self.folder / name).read_bytes()
        self.receipts.append(receipt)
        assert_listed(self.client, self.receipts)
        (self.folder / name).unlink()


class UploadInOneRequest(Upload):
    name = "one-request"
    size_bytes = 100_000


class UploadInParts(Upload):
    name = "in-parts"
    size_bytes = CHUNK_BYTES + 100_000


class Publication(Scenario):
    """The publication of an exposure whose files are committed; then the registrar does its work without faults."""

    name = "publication"

    def prepare(self, name: str) -> None:
        contents = {
            FileRole.MICROGRAPH: (f"{name}.mrc", micrograph_bytes(self.folder / "micrograph", len(self.records))),
            FileRole.MOTION_STAR: (f"{name}.star", f"data_general\n\n_rlnName {name}\n".encode()),
        }
        receipts = {role: self._send(path, data) for role, (path, data) in contents.items()}
        exposure_id = UUID(int=self._chance.getrandbits(128), version=4)
        self.records.append(exposure_record(name, exposure_id, receipts))

    def _send(self, path: str, data: bytes) -> Receipt:
        source = self.folder / "source"
        source.write_bytes(data)
        return self.sender.send(FileToSend(source, SESSION, path))

    def do(self, name: str) -> object:
        return self.client.publish(SESSION, self.records[-1])

    def check(self, name: str) -> None:
        wait_until(lambda: are_registered(self.client, self.records), "registered exposures", pause_s=0.05)
        assert_in_star(self.data, self.records)
        assert [exposure.label for exposure in self.records].count(name) == 1


class Registering(Publication):
    """The work of RELION's registrar for an exposure."""

    name = "registration"
    calls = CALLS

    def __init__(self, folder: Path, receiver: Any) -> None:
        super().__init__(folder, receiver)
        self._thread: tuple[int, int] | None = None  # of the registrar: the process, the thread

    def _strace(self, call: str | None, fault: str | None, when: int) -> Strace:
        if call is None:
            return super()._strace(call, fault, when)
        assert self._thread is not None
        return Strace(self._thread[1], self.log, (call,), one_thread=True, fault=fault, when=when)

    def run(self, name: str, call: str | None = None, fault: str | None = None, when: int = 0) -> list[Call]:
        if call is None or self._thread is None or self._thread[0] != self.receiver.process.pid:
            calls = super().run(name)
            (thread,) = {made.thread for made in calls if "relion/" in made.arguments}
            self._thread = self.receiver.process.pid, thread
            if call is None:
                return [made for made in calls if made.thread == thread]
            name = self.next_name()
        return super().run(name, call, fault, when)

    def finish(self, name: str, strace: Strace) -> None:
        wait_until(lambda: strace.has_hit or self._is_registered(), "a registration, or a fault")

    def _is_registered(self) -> bool:
        try:
            return are_registered(self.client, self.records[-1:])
        except TemporaryError:  # it was killed just now; strace will have written so at the next look
            return False


SCENARIOS = {kind.name: kind for kind in (UploadInOneRequest, UploadInParts, Publication, Registering)}


@pytest.fixture
def scenario(request: pytest.FixtureRequest, tmp_path: Path, receiver_process: Any) -> Iterator[Scenario]:
    """Return the scenario that the test names, with its receiver."""
    require_strace()
    made: Scenario = SCENARIOS[request.param](tmp_path, receiver_process)
    yield made
    made.close()


@pytest.mark.timeout(LONG_TIMEOUT_S)
@pytest.mark.parametrize("scenario", SCENARIOS if IS_LONG else SHORT, indirect=True)
def test_a_fault_at_any_call_costs_a_try_and_nothing_else(scenario: Scenario, note_figures: NoteFigures) -> None:
    scenario.run(scenario.next_name())  # the first makes folders
    numbers, every = _calls_of_each_run(scenario)
    assert {"pwrite64", "fdatasync"} <= set(numbers)
    hits = Counter[str]()
    steps: dict[str, set[str]] = {fault: set() for fault in FAULTS}
    plan = SHORT[scenario.name] if not IS_LONG else [(call, fault, 0.0) for fault in FAULTS for call in sorted(numbers)]
    for call, fault, fraction in plan:
        scenario.renew()
        when = math.ceil(fraction * numbers[call])
        for number in [when] if when else itertools.count(1):
            hit = _inject(scenario, call, fault, number)
            if not hit:
                assert number > 1, f"{fault} was injected into no {call}"
                assert not when, f"{fault} was not injected into {call} number {when}"
                break
            hits[fault] += 1
            steps[fault] |= hit
    note_figures(calls_counted=numbers.total(), **{f"faults_{fault}": count for fault, count in hits.items()})
    if IS_LONG:
        missed = {fault: sorted(every - done) for fault, done in steps.items()}
        assert not any(missed.values()), missed
        assert min(hits[fault] for fault in FAULTS) >= 0.9 * numbers.total(), hits


def _calls_of_each_run(scenario: Scenario) -> tuple[Counter[str], set[str]]:
    """Return how often each call is made, and the steps, without what is not done every time."""
    numbers: list[Counter[str]] = []
    steps: list[set[str]] = []
    for _ in range(COUNTING_RUNS):
        name = scenario.next_name()
        calls = [made for made in scenario.run(name) if made.concerns(scenario.data)]
        numbers.append(Counter(made.name for made in calls))
        steps.append({made.step(scenario.data, name) for made in calls})
    return functools.reduce(operator.and_, numbers), set.intersection(*steps)


def _inject(scenario: Scenario, call: str, fault: str, number: int) -> set[str]:
    """Inject a fault at a call; return the steps that it came at, none if there are fewer such calls."""
    for _ in range(REPEATS_WITHOUT_HIT):
        made = scenario.run(scenario.next_name(), call, fault, number)
        hit = [one for one in made if one.injected]
        if hit:
            assert all(one.concerns(scenario.data) for one in hit), hit
            return {one.step(scenario.data, scenario.name_of_run) for one in hit}
    return set()
