"""What becomes of a batch when CUDA, its compiler or cuFFT fails while a movie is computed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import starfile
from cuda_on_host import cuda_on_host
from cupy_on_host import PlannedFault

from preprocess.backends import choose
from preprocess.backends.choose import choose_backend
from preprocess.errors import DeviceError, DeviceLost, DeviceOutOfMemory, KernelNotCompiled, PreprocessError
from preprocess.exposure.acquisition import Acquisition
from preprocess.lost_devices import LOST
from preprocess.outputs.micrographs_star import FILE_NAME
from preprocess.pipeline.falling_back import SaidOnce
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import process_movies
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie
from tests.running import cryoferry_here

KNOWN = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)
NAMES = ("a.mrc", "b.tiff")
ILLEGAL_ADDRESS = 700
OUT_OF_RESOURCES = 701

FAULTS = {
    DeviceLost: [
        PlannedFault("warp_tiles", "CUDADriverError", ILLEGAL_ADDRESS),
        PlannedFault("bin_frames", "CUDARuntimeError", OUT_OF_RESOURCES),
        PlannedFault("fft", "CuFFTError", 6),
    ],
    DeviceOutOfMemory: [PlannedFault("warp_tiles", "CUDADriverError", 2), PlannedFault("fft", "CuFFTError", 2)],
    KernelNotCompiled: [
        PlannedFault("warp_tiles", "CompileException", 6),
        PlannedFault("sum_frames", "NVRTCError", 5),
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for seed, name in enumerate(NAMES, start=1):
        simulate_movie(SimulationSettings(height=64, width=96, frame_count=3, seed=seed, gain=False)).write(
            folder / name
        )
    return folder


def ends_of_batch(folder: Path, out: Path, device: str) -> list[str | PreprocessError]:
    """Return what computed each movie of a batch, or why it failed."""
    chosen = AlignmentSettings(device=device, threads=1)
    stages = replace(MovieStages.chosen(out, chosen, KNOWN, Acquisition()), said=SaidOnce())
    ends: list[str | PreprocessError] = []
    for end in process_movies([folder / name for name in NAMES], stages):
        try:
            ends.append(end.result().device)
        except PreprocessError as error:
            ends.append(error)
    return ends


@pytest.mark.parametrize(
    ("error", "fault"),
    [(error, fault) for error, faults in FAULTS.items() for fault in faults],
    ids=lambda given: f"{given.kind} {given.status}" if isinstance(given, PlannedFault) else given.__name__,
)
def test_a_failure_ends_no_batch_and_auto_takes_the_cpu(
    folder: Path, tmp_path: Path, error: type[DeviceError], fault: PlannedFault
) -> None:
    with cuda_on_host() as host:
        host.device.fault = fault
        named = ends_of_batch(folder, tmp_path / "named", "cuda:0")
        assert LOST.any() == (error is DeviceLost)
    if error is DeviceOutOfMemory:  # alone each fits
        assert named == ["cuda:0", "cuda:0"]
    else:
        assert [type(end) for end in named] == [error, error]
        assert str(named[1]) == str(named[0])
    with cuda_on_host() as host:
        host.device.fault = fault
        computed_by = "cuda:0" if error is DeviceOutOfMemory else "cpu"
        assert ends_of_batch(folder, tmp_path / "auto", "auto") == [computed_by, computed_by]
        assert host.device.fault is None or fault.lasts


def test_a_batch_of_the_command_keeps_its_table_and_star(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    movies = [shutil.copy(folder / "a.mrc", tmp_path / f"{letter}.mrc") for letter in "abcdef"]
    known = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "0.83", "--no-ctf", "--device", "cuda:0")
    with cuda_on_host() as host:
        host.device.is_due = (tmp_path / "out/a.json").exists  # three at most are on their way with the first
        host.device.fault = PlannedFault("warp_tiles", "CUDADriverError", ILLEGAL_ADDRESS)
        done = cryoferry_here(monkeypatch, capsys, "align", *movies, *known, "-o", "out", "--star")
    assert done.returncode == 3, done.stderr
    assert "cuda:0 failed: CUDA_ERROR 700" in done.stderr
    assert all(f"{letter}.mrc" in done.stdout for letter in "abcdef")
    listed = starfile.read(tmp_path / "out" / FILE_NAME)["micrographs"]
    names = [Path(name).name for name in listed["rlnMicrographName"]]
    assert names[0] == "a.mrc"
    assert "f.mrc" not in names


def test_auto_says_once_why_a_device_that_is_there_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    choose._say_once.cache_clear()
    with cuda_on_host() as host:
        host.device.fault = PlannedFault("setup", "CUDARuntimeError", 46)
        assert choose_backend("auto").name == "cpu"
        assert choose_backend("auto").name == "cpu"
    told = [record.getMessage() for record in caplog.records if "the GPU" in record.getMessage()]
    assert told == ["movies are aligned on the CPU, because the GPU cannot be used: cuda:0 failed: cudaError 46"]
