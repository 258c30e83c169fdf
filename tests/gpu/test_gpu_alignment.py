"""A movie on the GPU gives what it gives on the CPU; where the device fails, it is said in our words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.backends.choose import choose_backend
from preprocess.errors import DeviceError, DeviceOutOfMemory
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import process_movies
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu() -> None:
    try:
        choose_backend("cuda:0")
    except DeviceError as error:
        pytest.skip(f"{error} {error.hint}")


def test_a_movie_becomes_the_same_micrograph_on_either_device(tmp_path: Path) -> None:
    movie = simulate_movie(SimulationSettings(height=512, width=480, frame_count=8, seed=2))
    movie.write(tmp_path / "a.tiff")
    movie.write_gain(tmp_path / "gain.mrc", movie_format="tiff")
    settings = AlignmentSettings(gain=GainSettings(path=tmp_path / "gain.mrc"), unweighted=True)
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)
    results = [
        process_movie(
            tmp_path / "a.tiff", tmp_path / device[:4], settings=replace(settings, device=device), acquisition=known
        )
        for device in ("cpu", "cuda:0")
    ]
    on_cpu, on_gpu = results
    assert on_gpu.device == "cuda:0"
    np.testing.assert_allclose(on_gpu.shifts_y_px, on_cpu.shifts_y_px, atol=0.02)
    np.testing.assert_allclose(on_gpu.shifts_x_px, on_cpu.shifts_x_px, atol=0.02)
    for role in ("micrograph", "micrograph_unweighted"):
        one, other = (mrcfile.read(result.file(role)).astype(float) for result in results)
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9999


def test_too_large_a_movie_is_out_of_memory() -> None:
    with pytest.raises(DeviceOutOfMemory):
        choose_backend("cuda:0").hold(100_000, 8184, 11520, np.dtype(np.uint8))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match="cuda:63"):
        choose_backend("cuda:63")


def test_movies_that_overlap_are_those_of_one_by_one(tmp_path: Path) -> None:
    movies = []
    for seed in range(5):
        movies.append(tmp_path / f"{seed}.tiff")
        simulate_movie(SimulationSettings(height=512, width=480, frame_count=8, seed=seed)).write(movies[-1])
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)
    settings = AlignmentSettings(device="cuda:0", unweighted=True)
    stages = MovieStages.chosen(tmp_path / "together", settings, known, Acquisition())
    together = [end.result() for end in process_movies(movies, stages)]
    assert [result.movie for result in together] == movies
    for movie in movies:
        process_movie(movie, tmp_path / "alone", settings=settings, acquisition=known)
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(names) == 5 * 7
    for name in names:
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_a_device_with_too_little_memory_leaves_the_movie_to_the_cpu(tmp_path: Path) -> None:
    simulate_movie(SimulationSettings(height=512, width=480, frame_count=8, seed=2)).write(tmp_path / "a.tiff")
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)
    settings = AlignmentSettings(device="auto", device_memory_gb=0.001)
    assert process_movie(tmp_path / "a.tiff", tmp_path, settings=settings, acquisition=known).device == "cpu"
    with pytest.raises(DeviceOutOfMemory):
        process_movie(tmp_path / "a.tiff", tmp_path, settings=replace(settings, device="cuda:0"), acquisition=known)
