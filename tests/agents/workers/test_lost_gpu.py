"""A GPU that fails under a real worker process: over the stand-in for CuPy, which fails where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import kernels_on_host
import pytest
from cupy_elsewhere import CupyElsewhere
from cupy_on_host import PlannedFault

from agents.workers.contract import AlignmentFailure, AlignmentJob, FailureKind
from agents.workers.jobs import to_json
from agents.workers.local_process import LocalProcessWorker
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings

pytestmark = pytest.mark.skipif(kernels_on_host.compiler() is None, reason="no C++ compiler for the kernels")

CHOSEN = ChosenAlignment(
    settings=AlignmentSettings(device="cuda:0"),
    flags=Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83),
    configured=Acquisition(),
)
ILLEGAL_ADDRESS, NOT_AVAILABLE = 700, 46


@pytest.fixture
def elsewhere(tmp_path: Path) -> CupyElsewhere:
    return CupyElsewhere(tmp_path / "cupy")


@pytest.fixture
def worker(elsewhere: CupyElsewhere) -> Iterator[LocalProcessWorker]:
    worker = LocalProcessWorker(elsewhere.environment)
    yield worker
    worker.close()


def align(
    worker: LocalProcessWorker, movie: Path, outputs: Path, device: str = "cuda:0"
) -> ProcessedMovie | AlignmentFailure:
    chosen = replace(CHOSEN, settings=replace(CHOSEN.settings, device=device))
    outputs.mkdir(exist_ok=True)
    return worker.align(AlignmentJob(movie=str(movie), outputs=str(outputs), settings=to_json(chosen), timeout_s=600))


def computed_by(answer: ProcessedMovie | AlignmentFailure) -> str:
    assert isinstance(answer, ProcessedMovie), answer
    return answer.device


@pytest.mark.parametrize(
    "fault",
    [
        PlannedFault("warp_tiles", "CUDADriverError", ILLEGAL_ADDRESS),
        PlannedFault("setup", "CUDARuntimeError", NOT_AVAILABLE),  # another process has the device for itself
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_a_movie_waits_when_the_device_fails_and_a_new_process_aligns_it(
    fault: PlannedFault, elsewhere: CupyElsewhere, worker: LocalProcessWorker, simulated: Path, tmp_path: Path
) -> None:
    elsewhere.plant(fault)
    failed = align(worker, simulated / "0.tiff", tmp_path / "one")
    assert isinstance(failed, AlignmentFailure)
    assert failed.kind is FailureKind.DEVICE_LOST, failed
    assert "DeviceLost: cuda:0 failed: " in failed.reason
    assert not elsewhere.is_planted
    assert worker.pid is None
    assert computed_by(align(worker, simulated / "0.tiff", tmp_path / "one")) == "cuda:0"
    pid = worker.pid
    assert pid is not None
    assert computed_by(align(worker, simulated / "1.mrc", tmp_path / "two")) == "cuda:0"
    assert worker.pid == pid


def test_with_auto_the_cpu_aligns_the_movie_and_the_next_has_the_device_again(
    elsewhere: CupyElsewhere, worker: LocalProcessWorker, simulated: Path, tmp_path: Path
) -> None:
    elsewhere.plant(PlannedFault("warp_tiles", "CUDADriverError", ILLEGAL_ADDRESS))
    rescued = align(worker, simulated / "0.tiff", tmp_path / "one", "auto")
    assert computed_by(rescued) == "cpu"
    assert isinstance(rescued, ProcessedMovie)
    assert any("cuda:0 failed: CUDA_ERROR 700" in warning.text for warning in rescued.warnings)
    assert worker.pid is None
    assert computed_by(align(worker, simulated / "1.mrc", tmp_path / "two", "auto")) == "cuda:0"


def test_a_process_whose_movie_only_lacked_memory_lives_on(
    elsewhere: CupyElsewhere, worker: LocalProcessWorker, simulated: Path, tmp_path: Path
) -> None:
    elsewhere.plant(PlannedFault("warp_tiles", "CUDADriverError", 2))
    failed = align(worker, simulated / "0.tiff", tmp_path / "one")
    assert isinstance(failed, AlignmentFailure)
    assert failed.kind is FailureKind.POSTPONED
    assert "DeviceOutOfMemory" in failed.reason
    pid = worker.pid
    assert pid is not None
    assert computed_by(align(worker, simulated / "0.tiff", tmp_path / "one")) == "cuda:0"
    assert worker.pid == pid
