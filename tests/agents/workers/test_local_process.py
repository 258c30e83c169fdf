"""The worker process: what it answers, and that the agent survives its death."""

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
from blake3 import blake3

from agents.workers.contract import AlignmentFailure, AlignmentJob, DigestJob, FailureKind, MovieDigests
from agents.workers.jobs import to_json
from agents.workers.local_process import LocalProcessWorker
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings
from tests.running import has_ended
from tests.waiting import wait_until

CHOSEN = ChosenAlignment(
    settings=AlignmentSettings(device="cpu"),
    flags=Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83),
    configured=Acquisition(),
)


def job(movie: Path, outputs: Path, *, chosen: ChosenAlignment = CHOSEN, timeout_s: float = 60) -> AlignmentJob:
    return AlignmentJob(movie=str(movie), outputs=str(outputs), settings=to_json(chosen), timeout_s=timeout_s)


def failure(answer: ProcessedMovie | AlignmentFailure) -> AlignmentFailure:
    assert isinstance(answer, AlignmentFailure)
    return answer


@pytest.fixture
def worker() -> Iterator[LocalProcessWorker]:
    worker = LocalProcessWorker()
    yield worker
    worker.close()


def kill_when_started(worker: LocalProcessWorker, after_s: float) -> threading.Thread:
    def kill() -> None:
        pid = wait_until(lambda: worker.pid, "the worker's start")
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_the_agent_survives_a_killed_worker_and_a_new_one_does_the_work(
    worker: LocalProcessWorker, simulated: Path, tmp_path: Path
) -> None:
    killer = kill_when_started(worker, 0.1)
    died = failure(worker.align(job(simulated / "0.tiff", tmp_path)))
    assert died.kind is FailureKind.DIED
    assert "killed by signal 9" in died.reason
    killer.join()
    processed = worker.align(job(simulated / "0.tiff", tmp_path))
    assert isinstance(processed, ProcessedMovie)
    assert processed.frame_count == 6
    assert processed.movie == simulated / "0.tiff"
    assert processed.movie_digest == blake3((simulated / "0.tiff").read_bytes()).hexdigest()
    micrograph = processed.file("micrograph")
    assert micrograph is not None
    assert micrograph.parent == tmp_path
    # the same process says what is wrong with another movie, and lives on
    pid = worker.pid
    (tmp_path / "empty.tiff").touch()
    refused = failure(worker.align(job(tmp_path / "empty.tiff", tmp_path / "out")))
    assert refused.kind is FailureKind.REFUSED
    assert "UnreadableMovie: " in refused.reason
    assert "empty" in refused.reason
    unknown = replace(CHOSEN, flags=Acquisition())
    held = failure(worker.align(job(simulated / "1.mrc", tmp_path / "out", chosen=unknown)))
    assert held.kind is FailureKind.HELD_BACK
    assert "AcquisitionUnknown" in held.reason
    assert held.hint
    gone = worker.digest(DigestJob(movie=str(tmp_path / "gone.tiff"), is_whole=False, timeout_s=60))
    assert isinstance(gone, AlignmentFailure)
    assert gone.kind is FailureKind.REFUSED
    digests = worker.digest(DigestJob(movie=str(simulated / "0.tiff"), is_whole=True, timeout_s=60))
    assert isinstance(digests, MovieDigests)
    assert digests.movie_digest == processed.movie_digest
    assert worker.pid == pid


def test_a_defect_of_ours_refuses_the_movie_and_ends_the_process(worker: LocalProcessWorker, tmp_path: Path) -> None:
    broken = AlignmentJob(movie="/a.mrc", outputs=str(tmp_path), settings={"nonsense": 1}, timeout_s=60)
    refused = failure(worker.align(broken))
    assert refused.kind is FailureKind.REFUSED
    assert "unexpected ValidationError" in refused.reason
    assert "report" in refused.hint
    assert worker.pid is None


def test_a_worker_that_takes_too_long_is_ended(worker: LocalProcessWorker, simulated: Path, tmp_path: Path) -> None:
    hung = failure(worker.align(job(simulated / "0.tiff", tmp_path, timeout_s=0.05)))
    assert hung.kind is FailureKind.HUNG
    assert worker.pid is None


def test_an_agent_that_stops_does_not_wait_for_its_worker(
    worker: LocalProcessWorker, simulated: Path, tmp_path: Path
) -> None:
    stopped = failure(worker.align(job(simulated / "0.tiff", tmp_path), lambda: True))
    assert stopped.kind is FailureKind.STOPPED
    assert worker.pid is None


def test_a_worker_dies_with_its_agent(tmp_path: Path) -> None:
    """The agent is a process that starts a worker, tells its id and is killed."""
    program = (
        "import time; from agents.workers.local_process import LocalProcessWorker\n"
        "worker = LocalProcessWorker(); worker.start(); print(worker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        agent.kill()
    wait_until(lambda: has_ended(pid), "the worker's end after its agent's")
