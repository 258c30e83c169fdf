"""What a CUDA device finds, against the CPU's backend: on the host everywhere, on a device where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from odd_movie import COUNT, HEIGHT, WIDTH, hold, measured, movie_frames, wavy_field

from preprocess.backends.choose import choose_backend
from preprocess.backends.contract import Backend
from preprocess.backends.spectrum_layout import lanczos_taps
from preprocess.exposure.acquisition import Acquisition
from preprocess.geometry.field import DisplacementField
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

NUMBER_TYPES = ["uint8", "int8", "uint16", "int16", "float32", "float16"]
WIDE_TILES, NARROW_TILES, NO_TILES = 0.1, 0.5, 2.0
"""How much a field varies so that its sums are made in tiles or pixel by pixel, px."""


@pytest.fixture
def cpu() -> Backend:
    return choose_backend("cpu", 1)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


def sums(
    backend: Backend, frames: np.ndarray, gain: np.ndarray | None, field: DisplacementField, weights: np.ndarray
) -> np.ndarray:
    images = hold(backend, frames, gain).warped_sums(field, weights)
    return np.stack([image.get() if hasattr(image, "get") else image for image in images])


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
@pytest.mark.parametrize("factor", [1, 3])
def test_motion_is_measured_as_on_the_cpu(
    cuda: Backend, cpu: Backend, random: np.random.Generator, dtype: str, factor: int
) -> None:
    frames = movie_frames(random, dtype)
    gain = random.uniform(0.7, 1.3, (HEIGHT, WIDTH)).astype(np.float32)
    both = (measured(backend, frames, gain, factor) for backend in (cuda, cpu))
    for index, (found, expected) in enumerate(zip(*both, strict=True)):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * scale, err_msg=str(index))
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("shape", [(3, 1100, 37), (3, 41, 1030), (70, 24, 48)])
def test_motion_of_tall_wide_and_long_movies_is_measured_as_on_the_cpu(
    cuda: Backend, cpu: Backend, random: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    """Where a block works on several rows, a row needs several turns, and frames are many."""
    frames = movie_frames(random, shape=shape)
    for found, expected in zip(*(measured(backend, frames, None, 1) for backend in (cuda, cpu)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=5e-4, atol=5e-5 * np.abs(expected).max())


def test_long_movies_are_summed_as_on_the_cpu(cuda: Backend, cpu: Backend, random: np.random.Generator) -> None:
    """Displacements of some frames are found at a time: in the wide tiles of 16, in the narrow ones of 4."""
    for count, steepness_px in ((35, WIDE_TILES), (11, NARROW_TILES)):
        frames = movie_frames(random, shape=(count, HEIGHT, WIDTH))
        field, weights = wavy_field(steepness_px, count), random.normal(0, 1, (7, count)).astype(np.float32)
        found, expected = (sums(backend, frames, None, field, weights) for backend in (cuda, cpu))
        np.testing.assert_allclose(found, expected, atol=5e-4)


def test_the_same_question_has_the_same_answer(cuda: Backend, random: np.random.Generator) -> None:
    frames = movie_frames(random)
    once, again = (measured(cuda, frames, None, 1) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("steepness_px", "dtype", "with_gain"),
    [
        *[(WIDE_TILES, dtype, True) for dtype in NUMBER_TYPES],
        (WIDE_TILES, "uint8", False),
        (NARROW_TILES, "uint8", True),
        (NO_TILES, "uint8", False),
        (NO_TILES, "uint8", True),
    ],
)
def test_sums_are_those_of_the_cpu_within_rounding(
    cuda: Backend, cpu: Backend, random: np.random.Generator, steepness_px: float, dtype: str, with_gain: bool
) -> None:
    frames, field = movie_frames(random, dtype), wavy_field(steepness_px)
    gain = random.uniform(0.7, 1.3, (HEIGHT, WIDTH)).astype(np.float32) if with_gain else None
    weights = random.normal(0, 1, (7, COUNT)).astype(np.float32)
    found, expected = (sums(backend, frames, gain, field, weights) for backend in (cuda, cpu))
    assert np.abs(found - expected).max() < np.spacing(np.float16(np.abs(expected).max())) / 4


@pytest.mark.parametrize("shift_px", [-90.0, -9.3, 12.4, 31.2])
def test_tiles_from_beyond_the_edges_are_mirrored(
    cuda: Backend, cpu: Backend, random: np.random.Generator, shift_px: float
) -> None:
    frames, weights = movie_frames(random), np.ones((7, COUNT), np.float32)
    gain = random.uniform(0.7, 1.3, (HEIGHT, WIDTH)).astype(np.float32)
    field = DisplacementField.whole_frame(np.linspace([0.0, shift_px], [shift_px, 0.0], COUNT))
    found, expected = (sums(backend, frames, gain, field, weights) for backend in (cuda, cpu))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_rows_that_slide_along_x_are_summed_as_on_the_cpu(
    cuda: Backend, cpu: Backend, random: np.random.Generator
) -> None:
    """Columns that a tile needs are as many as can be held, and one or two more."""
    frames, weights = movie_frames(random), np.ones((7, COUNT), np.float32)
    field = DisplacementField(np.zeros((COUNT, 6)), np.zeros((COUNT, 6)))
    field.x[:, 3] = np.linspace(18, 27, COUNT)
    found, expected = (sums(backend, frames, None, field, weights) for backend in (cuda, cpu))
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("steepest_px", [25.0, 110.0])
def test_sheared_frames_are_summed_as_on_the_cpu(
    cuda: Backend, cpu: Backend, random: np.random.Generator, steepest_px: float
) -> None:
    """Rows of one tile come from rows so far apart that nothing can be held for all of them."""
    frames = movie_frames(random)
    field = DisplacementField(np.zeros((COUNT, 6)), np.zeros((COUNT, 6)))
    field.y[:, 3] = np.linspace(-steepest_px, steepest_px, COUNT)  # over the frame's height
    field.x[:, 3] = field.y[::-1, 3] / 3
    weights = np.ones((7, COUNT), np.float32)
    if steepest_px < 100:  # the CPU holds blocks too
        found, expected = (sums(backend, frames, None, field, weights) for backend in (cuda, cpu))
    else:
        found = sums(cuda, frames, None, field, weights)
        expected = np.repeat(by_definition(frames, field)[None], 7, 0)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def by_definition(frames: np.ndarray, field: DisplacementField) -> np.ndarray:
    """The sum of sheared frames, whose displacement is the same all along a row."""
    taps, padded = lanczos_taps(), np.pad(frames.astype(np.float64), ((0, 0), (90, 90), (90, 90)), mode="symmetric")
    total = np.zeros(frames.shape[1:])
    for t in range(len(frames)):
        for y in range(HEIGHT):
            shifts = y + field.y[t, 3] * (y / HEIGHT - 0.5), field.x[t, 3] * (y / HEIGHT - 0.5)
            (iy, wy), (ix, wx) = [(int(np.floor(s)), taps[int((s - np.floor(s)) * len(taps))]) for s in shifts]
            along = np.tensordot(wy, padded[t, iy + 88 : iy + 94], 1)
            total[y] += sum(wx[i] * along[ix + 88 + i : ix + 88 + i + WIDTH] for i in range(6))
    return total


@pytest.mark.parametrize("movie_format", ["tiff", "mrc"])
def test_a_movie_becomes_the_same_micrograph_as_on_the_cpu(cuda: Backend, tmp_path: Path, movie_format: str) -> None:
    movie = simulate_movie(SimulationSettings(height=300, width=420, frame_count=6, seed=2))
    movie.write(tmp_path / f"a.{movie_format}")
    movie.write_gain(tmp_path / "gain.mrc", movie_format=movie_format)
    settings = AlignmentSettings(gain=GainSettings(path=tmp_path / "gain.mrc"), even_odd=True, patches=(3, 2))
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)

    def align(device: str) -> ProcessedMovie:
        return process_movie(
            tmp_path / f"a.{movie_format}",
            tmp_path / device[:4],
            settings=replace(settings, device=device, threads=1),
            acquisition=known,
        )

    on_device, on_cpu = align(cuda.name), align("cpu")
    assert on_device.device == "cuda:0"
    np.testing.assert_allclose(on_device.shifts_y_px, on_cpu.shifts_y_px, atol=0.02)
    np.testing.assert_allclose(on_device.shifts_x_px, on_cpu.shifts_x_px, atol=0.02)
    for role in ("micrograph", "micrograph_even", "micrograph_odd"):
        one, other = (mrcfile.read(result.file(role)).astype(float) for result in (on_cpu, on_device))
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99999
