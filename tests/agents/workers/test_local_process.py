"""The worker process: what it answers, and that its death is survived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents.workers.jobs import changes, from_json, same_result, to_json, with_changes
from agents.workers.local_process import (
    AlignmentRefused,
    AlignmentStopped,
    Worker,
    WorkerDied,
    WorkerHung,
)
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.settings import AlignmentSettings, GainSettings

CHOSEN = ChosenAlignment(
    settings=AlignmentSettings(device="cpu"),
    flags=Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83),
    configured=Acquisition(),
)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.end()


def kill_when_started(worker: Worker, after_s: float) -> threading.Thread:
    def kill() -> None:
        while worker.pid is None:
            time.sleep(0.01)
        time.sleep(after_s)
        os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_killed_worker_is_survived_and_a_new_one_does_the_work(
    worker: Worker, simulated: Path, tmp_path: Path
) -> None:
    killer = kill_when_started(worker, 0.1)
    with pytest.raises(WorkerDied, match="killed by signal 9"):
        worker.align(simulated / "0.tiff", tmp_path, CHOSEN, timeout_s=60)
    killer.join()
    processed = worker.align(simulated / "0.tiff", tmp_path, CHOSEN, timeout_s=60)
    assert processed.frame_count == 6
    assert processed.movie == simulated / "0.tiff"
    micrograph = processed.file("micrograph")
    assert micrograph is not None
    assert micrograph.parent == tmp_path
    # the same worker says what is wrong with another movie, and lives on
    pid = worker.pid
    (tmp_path / "empty.tiff").touch()
    with pytest.raises(AlignmentRefused, match=r"UnreadableMovie: .*empty") as refused:
        worker.align(tmp_path / "empty.tiff", tmp_path / "out", CHOSEN, timeout_s=60)
    assert not refused.value.held_back
    unknown = replace(CHOSEN, flags=Acquisition())
    with pytest.raises(AlignmentRefused, match="AcquisitionUnknown") as refused:
        worker.align(simulated / "1.mrc", tmp_path / "out", unknown, timeout_s=60)
    assert refused.value.held_back
    assert refused.value.hint
    assert worker.pid == pid


def test_a_worker_that_takes_too_long_is_ended(worker: Worker, simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerHung):
        worker.align(simulated / "0.tiff", tmp_path, CHOSEN, timeout_s=0.05)
    assert worker.pid is None


def test_an_agent_that_ends_does_not_wait_for_its_worker(worker: Worker, simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(AlignmentStopped):
        worker.align(simulated / "0.tiff", tmp_path, CHOSEN, timeout_s=60, should_stop=lambda: True)
    assert worker.pid is None


def test_a_worker_dies_with_its_agent(tmp_path: Path) -> None:
    """The agent is a process that starts a worker, tells its id and is killed."""
    program = (
        "import threading, time; from pathlib import Path; from agents.workers.local_process import Worker\n"
        "worker = Worker(); worker.start(); print(worker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        agent.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]:
        assert time.monotonic() < deadline, "the worker outlives its agent"
        time.sleep(0.05)


def test_choices_travel_as_json_and_take_changes() -> None:
    chosen = replace(CHOSEN, settings=AlignmentSettings(gain=GainSettings(path=Path("/g.mrc"), rotate_degrees=90)))
    assert from_json(to_json(chosen)) == chosen
    other = replace(
        CHOSEN, settings=AlignmentSettings(bin_factor=2, gain=GainSettings(flip="x")), flags=Acquisition(cs_mm=2.7)
    )
    assert changes(other) == {"settings": {"bin_factor": 2, "gain": {"flip": "x"}}, "flags": {"cs_mm": 2.7}}
    merged = from_json(with_changes(to_json(chosen), changes(other)))
    assert merged.settings.gain == GainSettings(path=Path("/g.mrc"), rotate_degrees=90, flip="x")
    assert merged.flags.pixel_size_angstrom == 1.1
    assert merged.flags.cs_mm == 2.7
    assert merged.settings.bin_factor == 2


def test_where_it_is_computed_decides_nothing() -> None:
    base = to_json(CHOSEN)
    assert same_result(base, with_changes(base, {"settings": {"device": "cuda:1", "threads": 3}}))
    assert not same_result(base, with_changes(base, {"settings": {"float32": True}}))
