"""Where kernels in C were compiled, movies and micrographs are processed without numba: importing it takes long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mrcfile
import pytest

from agents.workers.contract import AlignmentJob
from agents.workers.jobs import to_json
from agents.workers.local_process import LocalProcessWorker
from preprocess.backends.compiled.available import kernel_trouble
from preprocess.backends.compiled.chosen_kernels import KERNELS_VARIABLE
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, DefectSettings, GainSettings
from preprocess.simulation import (
    MicrographSettings,
    SimulatedMovie,
    SimulationSettings,
    simulate_micrograph,
    simulate_movie,
    write_mrc,
)
from tests.running import clean_environment

FRAMES = 6
LOADED = """
import sys, cryoferry
sys.argv = ["cryoferry", *sys.argv[1:]]
try:
    cryoferry.main()
finally:
    print("LOADED", *sys.modules)
"""
EXPOSURE = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "0.83", "--cs", "2.7", "--device", "cpu")


def run(*arguments: object, **environment: str) -> tuple[str, set[str]]:
    """Return what a command printed, which a new Python ran to its end, and the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, arguments)],
        capture_output=True, text=True, env=clean_environment(**environment), timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed, _, loaded = done.stdout.rpartition("LOADED")
    return printed, set(loaded.split())


@pytest.fixture
def in_c() -> None:
    if kernel_trouble():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")


@pytest.fixture(scope="module")
def movie() -> SimulatedMovie:
    return simulate_movie(SimulationSettings(height=384, width=416, frame_count=FRAMES, hot_pixels_per_million=300))


@pytest.fixture(scope="module")
def folder(movie: SimulatedMovie, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the movie in every format, gain references, and a list of defects."""
    folder = tmp_path_factory.mktemp("movies")
    movie.write(folder / "bytes.tiff")
    movie.write(folder / "events.eer", hardware_frames_per_frame=8)
    movie.write_gain(folder / "bytes_gain.mrc", movie_format="tiff")
    movie.write_gain(folder / "events_gain.gain", movie_format="eer")
    frames = (frame.astype("f2") for frame in movie.frames())
    write_mrc(folder / "halves.mrc", frames, frame_count=FRAMES, mode=12)
    (folder / "defects.txt").write_text("10 20 3 2\n", "utf-8")
    return folder


@pytest.mark.usefixtures("in_c")
@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("bytes.tiff", ("--gain", "bytes_gain.mrc", "--defects", "defects.txt", "--group", "2")),
        ("halves.mrc", ("--gain", "none", "--even-odd", "--float32")),
        ("events.eer", ("--gain", "events_gain.gain", "--eer-frames", "8", "--bin", "2", "--patches", "2x2")),
    ],
)
def test_align_never_imports_numba(name: str, choices: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    paths = [folder / choice if (folder / choice).is_file() else choice for choice in choices]
    _, loaded = run("align", folder / name, "--out", tmp_path, *EXPOSURE, *paths)
    assert json.loads((tmp_path / name).with_suffix(".json").read_text("utf-8"))["ctf"] is not None
    assert "preprocess.backends.cpu.stack" in loaded
    assert "numba" not in loaded


def test_ctf_never_imports_numba(in_c: None, tmp_path: Path) -> None:
    truth = MicrographSettings(
        height=1280, width=1280, seed=1, pixel_size_angstrom=1.2, defocus_u_angstrom=14_000, defocus_v_angstrom=12_000,
        dose_e_per_a2=60, tilt_degrees=25,
    )  # fmt: skip
    with mrcfile.new(tmp_path / "m.mrc") as file:
        file.set_data(simulate_micrograph(truth).image)
        file.voxel_size = 1.2
    device = ("--device", "cpu", "--threads", "1")
    printed, loaded = run("ctf", tmp_path / "m.mrc", "--voltage", "300", *device, "--json", "--out", tmp_path / "out")
    found = json.loads(printed)
    assert found["reliable"], found["reason"]
    assert abs(found["tilt"] - 25) < 3
    assert abs(found["defocus_u"] - 14_000) < 100
    assert "numba" not in loaded


@pytest.mark.usefixtures("in_c")
def test_doctor_imports_numba_where_its_kernels_are_used(tmp_path: Path) -> None:
    assert "numba" not in run("doctor", "--work", tmp_path)[1]
    assert "numba" in run("doctor", "--work", tmp_path, **{KERNELS_VARIABLE: "numba"})[1]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_front_door_never_imports_numba(option: str) -> None:
    _, loaded = run(option)
    assert "typer" in loaded
    assert not loaded & {"numba", "numpy", "scipy"}


@pytest.mark.usefixtures("in_c")
def test_an_agents_worker_needs_no_numba(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numba.py").write_text('raise RuntimeError("numba was imported")\n', "utf-8")
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    settings = AlignmentSettings(
        device="cpu",
        gain=GainSettings(path=folder / "bytes_gain.mrc"),
        defects=DefectSettings(path=folder / "defects.txt"),
    )
    exposure = Acquisition(
        pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83, cs_mm=2.7, amplitude_contrast=0.1
    )
    chosen = to_json(ChosenAlignment(settings=settings, flags=exposure, configured=Acquisition()))
    job = AlignmentJob(
        movie=str(folder / "bytes.tiff"), outputs=str(tmp_path / "out"), settings=chosen, timeout_s=200.0
    )
    worker = LocalProcessWorker()
    try:
        answer = worker.align(job)
    finally:
        worker.close()
    assert isinstance(answer, ProcessedMovie), answer
