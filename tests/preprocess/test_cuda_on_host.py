"""The CUDA backend's real classes and kernels, run on the host: memory, batches, repeatability, whole movies.

What is proven is logic; nothing here ran on a device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cuda_on_host
import kernels_on_host
import mrcfile
import numpy as np
import pytest
from cuda_on_host import CudaOnHost

from preprocess.acquisition import Acquisition
from preprocess.alignment.field import DisplacementField
from preprocess.alignment.patches import PatchLayout, lay_patches
from preprocess.alignment.whole_frame import estimation_bin
from preprocess.backends.choose import choose_backend
from preprocess.backends.contract import RING_COUNT, Backend, FrameStack
from preprocess.errors import DeviceError, DeviceOutOfMemory
from preprocess.pipeline import process_movie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

COUNT, HEIGHT, WIDTH = 5, 97, 203
NUMBER_TYPES = ["uint8", "int8", "uint16", "int16", "float32", "float16"]


@pytest.fixture
def host() -> Iterator[CudaOnHost]:
    with cuda_on_host.cuda_on_host() as host:
        yield host


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


def movie_frames(random: np.random.Generator, dtype: str = "uint8") -> np.ndarray:
    return random.poisson(6, (COUNT, HEIGHT, WIDTH)).astype(dtype)


def hold(backend: Backend, frames: np.ndarray, gain: np.ndarray | None = None) -> FrameStack:
    stack = backend.hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    stack.set_gain(gain)
    return stack


def layout_of(frames: np.ndarray, factor: int = 1) -> PatchLayout:
    drift = np.linspace(0, 6, len(frames))[:, None] * [1.0, -0.7]
    shape = (frames.shape[1] // factor, frames.shape[2] // factor)
    return lay_patches(shape, (2, 3), drift, bin_factor=factor, kept=0.8)


def measured(backend: Backend, frames: np.ndarray, gain: np.ndarray | None, factor: int) -> list[np.ndarray]:
    """All that a backend finds out about motion, given the same displacements and weights."""
    stack = hold(backend, frames, gain)
    shifts = np.random.default_rng(3).normal(0, 1, (len(frames), 2))
    weights = np.exp(-np.arange(RING_COUNT) / 80.0)
    spectra = stack.spectra(factor)
    powers = spectra.ring_powers(shifts)
    box = (2 * (spectra.shape[0] // 4), 2 * (spectra.shape[1] // 4))
    found = [*powers, spectra.correlations(shifts, weights, box, 5), *spectra.derivatives(shifts, weights)]
    patches = stack.patch_spectra(layout_of(frames, factor))
    local = np.random.default_rng(4).normal(0, 1, (len(frames), 6, 2))
    measures = patches.measure(local, weights, [5, 0, 2], 200)
    return [*found, measures.sum_powers, measures.frame_powers, measures.gradient, measures.hessian]


def wavy_field(steepness_px: float, terms: int = 10) -> DisplacementField:
    random = np.random.default_rng(5)
    y, x = random.normal(0, steepness_px, (2, COUNT, terms))
    y[:, 0], x[:, 0] = random.normal(0, 3, (2, COUNT))
    return DisplacementField(y, x)


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
@pytest.mark.parametrize("factor", [1, 3])
def test_motion_is_measured_as_on_the_cpu(
    host: CudaOnHost, random: np.random.Generator, dtype: str, factor: int
) -> None:
    frames = movie_frames(random, dtype)
    gain = random.uniform(0.7, 1.3, (HEIGHT, WIDTH)).astype(np.float32)
    on_device, on_cpu = (measured(b, frames, gain, factor) for b in (host.backend(), choose_backend("cpu", 1)))
    for index, (found, expected) in enumerate(zip(on_device, on_cpu, strict=True)):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * scale, err_msg=str(index))
        assert found.dtype == expected.dtype
        assert found.flags.c_contiguous or index > 2


@pytest.mark.parametrize(
    ("steepness_px", "kernel", "dtype", "with_gain"),
    [
        *[(0.1, "warp_tiles", dtype, True) for dtype in NUMBER_TYPES],
        (0.1, "warp_tiles", "uint8", False),
        (0.5, "warp_tiles", "uint8", True),
        (2.0, "warp_pixels", "uint8", False),
        (2.0, "warp_pixels", "uint8", True),
    ],
)
def test_sums_are_those_of_the_cpu_within_rounding(
    host: CudaOnHost, random: np.random.Generator, steepness_px: float, kernel: str, dtype: str, with_gain: bool
) -> None:
    frames, field = movie_frames(random, dtype), wavy_field(steepness_px)
    gain = random.uniform(0.7, 1.3, (HEIGHT, WIDTH)).astype(np.float32) if with_gain else None
    weights = random.normal(0, 1, (7, COUNT)).astype(np.float32)
    on_device = hold(host.backend(), frames, gain).warped_sums(field, weights)
    on_cpu = hold(choose_backend("cpu", 1), frames, gain).warped_sums(field, weights)
    assert host.device.launches[-1] == kernel
    for found, expected in zip(on_device, on_cpu, strict=True):
        assert np.abs(found.get() - expected).max() < np.spacing(np.float16(np.abs(expected).max())) / 4


def test_tiles_that_vary_too_much_are_read_pixel_by_pixel(host: CudaOnHost, random: np.random.Generator) -> None:
    frames = movie_frames(random)
    shear = DisplacementField(np.zeros((COUNT, 6)), np.zeros((COUNT, 6)))
    shear.y[:, 3] = np.linspace(-25, 25, COUNT)  # px over the frame's height, and so several within a tile's rows
    weights = np.ones((7, COUNT), np.float32)
    found, *_ = hold(host.backend(), frames).warped_sums(shear, weights)
    expected, *_ = hold(choose_backend("cpu", 1), frames).warped_sums(shear, weights)
    assert host.device.launches[-1] == "warp_tiles"
    np.testing.assert_allclose(found.get(), expected, atol=2e-4)


def test_results_do_not_depend_on_the_order_of_threads_nor_on_the_run(random: np.random.Generator) -> None:
    frames = movie_frames(random)
    gain = random.uniform(0.7, 1.3, (HEIGHT, WIDTH)).astype(np.float32)
    runs = []
    for kernels in ("usual", "usual", "backwards"):
        with cuda_on_host.cuda_on_host(kernels=kernels) as host:
            images = hold(host.backend(), frames, gain).warped_sums(wavy_field(0.5), np.ones((7, COUNT), np.float32))
            runs.append([*measured(host.backend(), frames, gain, 2), *(image.get() for image in images)])
    for run in runs[1:]:
        for found, expected in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_each_question_costs_one_copy_from_the_device(host: CudaOnHost, random: np.random.Generator) -> None:
    frames = movie_frames(random)
    stack = hold(host.backend(), frames)
    shifts, weights = np.zeros((COUNT, 2)), np.ones(RING_COUNT)
    spectra, patches = stack.spectra(1), stack.patch_spectra(layout_of(frames))
    assert host.device.copies_down == 0
    spectra.ring_powers(shifts)
    spectra.correlations(shifts, weights, (48, 100), 5)
    spectra.derivatives(shifts, weights)
    patches.measure(np.zeros((COUNT, 6, 2)), weights, range(6), RING_COUNT)
    assert host.device.copies_down == 4


def test_a_small_device_works_in_smaller_batches_to_the_same_results(random: np.random.Generator) -> None:
    frames = movie_frames(random)
    found = {}
    for size in (2**28, 2_900_000):
        with cuda_on_host.cuda_on_host(size) as host:
            found[size] = measured(host.backend(), frames, None, 1)
            binnings = host.device.launches.count("bin_frames")
            assert (binnings > 2) == (size < 2**28), "batches were not as expected"
            assert host.device.highest <= size
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_shrink_when_the_allocator_refuses_what_seemed_free(
    host: CudaOnHost, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = movie_frames(random)
    expected = measured(host.backend(), frames, None, 1)
    memory = host.module("device_memory").DeviceMemory
    really, refused = memory.array, []

    def refuse_large(self: object, purpose: str, shape: tuple[int, ...], dtype: object) -> object:
        most = {"binned frames": 3, "patches": 6, "products": 2}
        if shape[0] > most.get(purpose, shape[0]):
            refused.append(purpose)
            raise host.cupy.cuda.memory.OutOfMemoryError("refused")
        return really(self, purpose, shape, dtype)

    monkeypatch.setattr(memory, "array", refuse_large)
    for one, other in zip(measured(host.backend(), frames, None, 1), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(refused) == {"binned frames", "patches", "products"}


def test_sums_that_the_device_has_no_room_for_go_to_the_host(random: np.random.Generator) -> None:
    frames, field = movie_frames(random), wavy_field(0.5)
    weights = random.normal(0, 1, (19, COUNT)).astype(np.float32)
    one_image = 4 * HEIGHT * WIDTH
    for sums_that_fit, passes in ((25, 2), (17, 3), (4, 5)):
        little = 2**22 + 100_000
        with cuda_on_host.cuda_on_host(frames.nbytes + little + sums_that_fit * (one_image + 512)) as host:
            images = hold(host.backend(), frames).warped_sums(field, weights)
            assert host.device.launches.count("warp_tiles") == passes
            on_host = [isinstance(image, np.ndarray) and not hasattr(image, "get") for image in images]
            assert any(on_host) == (sums_that_fit < 19)
            plain = [image if there else image.get() for image, there in zip(images, on_host, strict=True)]
            expected = hold(choose_backend("cpu", 1), frames).warped_sums(field, weights)
            np.testing.assert_allclose(plain, expected, atol=2e-4)
            part = host.backend().filtered_sum(images[-1:], np.ones((1, 2), np.float32), (HEIGHT, WIDTH))
            np.testing.assert_array_equal(part, plain[-1])


def test_the_cap_holds_for_everything(host: CudaOnHost, random: np.random.Generator) -> None:
    frames = movie_frames(random)
    with pytest.raises(DeviceOutOfMemory, match=r"cuda:0 has not enough memory"):
        host.backend(memory_gb=frames.nbytes / 1e9 / 2).hold(*frames.shape, frames.dtype)
    cap = 40 * frames.nbytes
    backend = host.backend(memory_gb=cap / 1e9)
    measured(backend, frames, None, 1)
    assert backend.device.memory.taken_bytes() == host.device.taken <= host.device.highest <= cap


def test_memory_does_not_grow_from_movie_to_movie(host: CudaOnHost, random: np.random.Generator) -> None:
    taken = []
    for number in range(4):
        frames = movie_frames(random)
        backend = host.backend()
        measured(backend, frames, None, 1)
        stack = hold(backend, frames, np.ones((HEIGHT, WIDTH), np.float32))
        images = stack.warped_sums(wavy_field(0.5), np.ones((2 + number % 2, COUNT), np.float32))
        stack.release()
        backend.filtered_sum(images, np.full((len(images), 2), 0.5, np.float32), (HEIGHT, WIDTH))
        del images, stack
        taken.append(host.device.taken)
    assert taken[1] == taken[3]
    assert len(backend.device.transforms._plans) <= 4


SUPER_RESOLUTION = (40, 8184, 11520)  # frames of a K3 camera: height and width
WEIGHTED_AND_UNWEIGHTED = 7


def take_through(backend: Backend, frame_shape: tuple[int, int, int], patches: tuple[int, int]) -> list[object]:
    """Ask of a dry device what a movie of that size takes; return the sums."""
    count, height, width = frame_shape
    stack = backend.hold(*frame_shape, np.dtype(np.uint8))
    stack.gain = backend.device.memory.array("gain", (height, width), "f4")
    factor, weights, drift = estimation_bin(height, width), np.ones(RING_COUNT), np.zeros((count, 2))
    spectra = stack.spectra(2 * factor)
    spectra.ring_powers(drift)
    spectra.correlations(drift, weights, (spectra.shape[0] // 2 * 2, spectra.shape[1] // 2 * 2), 12)
    spectra.derivatives(drift, weights)
    del spectra
    layout = lay_patches((height // factor, width // factor), patches, drift, bin_factor=factor, kept=0.75)
    everywhere = range(patches[0] * patches[1])
    stack.patch_spectra(layout).measure(np.zeros((count, len(everywhere), 2)), weights, everywhere, RING_COUNT)
    still = DisplacementField.whole_frame(drift)
    images = list(stack.warped_sums(still, np.ones((WEIGHTED_AND_UNWEIGHTED, count), np.float32)))
    stack.release()
    return images


@pytest.mark.parametrize("patches", [(10, 10), (5, 7), (1, 2)])
def test_a_super_resolution_movie_fits_in_eight_gigabytes(patches: tuple[int, int]) -> None:
    with cuda_on_host.cuda_on_host(7_500_000_000, dry=True) as host:  # a card of 8 GB keeps some for itself
        images = take_through(host.backend(), SUPER_RESOLUTION, patches)
        assert all(hasattr(image, "get") for image in images), "sums had to go to the host"


def test_super_resolution_movies_in_sixteen_gigabytes_take_no_memory_anew() -> None:
    with cuda_on_host.cuda_on_host(80 * 10**9, dry=True) as host:
        taken = []
        for _ in range(3):
            take_through(host.backend(memory_gb=16), SUPER_RESOLUTION, (10, 10))
            taken.append(host.device.taken_anew)
        assert taken[0] == taken[1] == taken[2]
        assert host.device.highest <= 16 * 10**9


def test_plans_and_tables_are_kept_up_to_a_bound(host: CudaOnHost) -> None:
    backend = host.backend()
    for size in range(16, 64):
        hold(backend, np.zeros((2, size, size), np.uint8)).spectra(1).ring_powers(np.zeros((2, 2)))
    assert len(backend.device.transforms._plans) == host.module("transforms").MOST_PLANS
    assert len(backend.device.tables._kept) == host.module("tables").MOST_TABLES


def test_stages_are_timed_with_what_they_move(host: CudaOnHost, random: np.random.Generator) -> None:
    frames, backend = movie_frames(random), host.backend()
    backend.stage_times()
    measured(backend, frames, None, 1)
    hold(backend, frames).warped_sums(wavy_field(0.5), np.ones((2, COUNT), np.float32))
    times = backend.stage_times()
    assert set(times) == {"bin", "cut", "correlate", "measure", "transform", "warp"}
    assert all(time.ms > 0 and time.bytes > 0 and time.flop > 0 for time in times.values())
    assert times["warp"].bytes == frames.nbytes + 2 * 4 * HEIGHT * WIDTH
    assert backend.stage_times() == {}
    assert choose_backend("cpu", 1).stage_times() == {}


def test_the_clock_keeps_few_events(host: CudaOnHost) -> None:
    clock = host.module("stage_clock").StageClock()
    for _ in range(1000):
        with clock.stage("all", moved_bytes=3):
            pass
    assert len(clock._pending) <= host.module("stage_clock").MOST_PENDING
    assert clock.times()["all"].bytes == 3000


@pytest.mark.parametrize("movie_format", ["tiff", "mrc"])
def test_a_movie_becomes_the_same_micrograph_as_on_the_cpu(tmp_path: Path, movie_format: str) -> None:
    movie = simulate_movie(SimulationSettings(height=300, width=420, frame_count=6, seed=2))
    movie.write(tmp_path / f"a.{movie_format}")
    movie.write_gain(tmp_path / "gain.mrc", movie_format=movie_format)
    settings = AlignmentSettings(gain=GainSettings(path=tmp_path / "gain.mrc"), even_odd=True, patches=(3, 2))
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)

    def align(device: str):
        return process_movie(
            tmp_path / f"a.{movie_format}",
            tmp_path / device[:4],
            settings=replace(settings, device=device, threads=1),
            acquisition=known,
        )

    with cuda_on_host.cuda_on_host() as host:
        on_device = align("cuda:0")
        assert {"sum_aligned", "differentiate", "cut_patches"} <= set(host.device.launches)
    on_cpu = align("cpu")
    assert on_device.device == "cuda:0"
    np.testing.assert_allclose(on_device.shifts_y_px, on_cpu.shifts_y_px, atol=0.02)
    np.testing.assert_allclose(on_device.shifts_x_px, on_cpu.shifts_x_px, atol=0.02)
    for role in ("micrograph", "micrograph_even", "micrograph_odd"):
        one, other = (mrcfile.read(result.file(role)).astype(float) for result in (on_cpu, on_device))
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99999


def test_a_device_that_is_not_there_is_named(host: CudaOnHost) -> None:
    with pytest.raises(DeviceError, match="cuda:63"):
        choose_backend("cuda:63")


def test_afterwards_cupy_is_as_it_was() -> None:
    before = {name for name in sys.modules if "cupy" in name}
    with cuda_on_host.cuda_on_host():
        assert "cupy" in sys.modules
    assert {name for name in sys.modules if "cupy" in name} == before


def test_kernels_get_what_they_take_or_nothing_runs(host: CudaOnHost) -> None:
    source = "#define HALVES 2\n" + host.module("sources").source("binning")
    library = kernels_on_host.HostLibrary(source)
    parts, means = host.cupy.zeros((1, 3), "f8"), host.cupy.zeros(1, "f4")
    good = (parts, means, np.int32(3), np.int32(10))
    library.launch("find_means", (1,), (256,), good)
    for wrong in (
        (means, means, *good[2:]),
        (parts.get(), *good[1:]),
        (*good[:2], 3, np.int32(10)),
        (*good[:2], np.int64(3), np.int32(10)),
        good[:3],
    ):
        with pytest.raises(AssertionError):
            library.launch("find_means", (1,), (256,), wrong)
    with pytest.raises(AssertionError, match="compiled for 256"):
        library.launch("find_means", (1,), (128,), good)


SANITIZED_RUN = """
import sys
import numpy as np
sys.path[:0] = sys.argv[1:3]
from cuda_on_host import cuda_on_host
from preprocess.alignment.field import DisplacementField
from preprocess.alignment.patches import lay_patches

frames = np.random.default_rng(0).poisson(5, (3, 45, 131)).astype(np.uint8)
with cuda_on_host(kernels="sanitized") as host:
    stack = host.backend().hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    stack.set_gain(np.ones(frames.shape[1:], np.float32))
    spectra = stack.spectra(2)
    spectra.ring_powers(np.zeros((3, 2)))
    spectra.correlations(np.zeros((3, 2)), np.ones(256), (12, 24), 3)
    spectra.derivatives(np.zeros((3, 2)), np.ones(256))
    layout = lay_patches((45, 131), (1, 2), np.zeros((3, 2)), bin_factor=1, kept=0.7)
    stack.patch_spectra(layout).measure(np.zeros((3, 2, 2)), np.ones(256), [1, 0], 200)
    for steepness in (0.02, 3.0):
        field = DisplacementField(*np.random.default_rng(1).normal(0, steepness, (2, 3, 21)))
        stack.warped_sums(field, np.ones((2, 3), np.float32))
    assert {"warp_tiles", "warp_pixels"} <= set(host.device.launches)
    if "too far" in sys.argv:
        parts, means = host.cupy.zeros((1, 3), "f8"), host.cupy.zeros(1, "f4")
        host.module("sources").kernel("binning", "find_means")((99,), parts, means, 3, 10)
print("clean")
"""


@pytest.mark.parametrize("asked", ["in bounds", "too far"])
def test_sanitizers_find_nothing_in_the_kernels_and_would_find_it(asked: str) -> None:
    compiler = kernels_on_host.compiler()
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs g++ and its sanitizers")
    found = [
        subprocess.run([compiler, f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True).stdout
        for name in ("asan", "ubsan")
    ]
    preload = [text.strip() for text in found]
    if not all(Path(text).is_absolute() for text in preload):
        pytest.skip("no sanitizers beside the compiler (Debian: apt-get install libasan8 libubsan1)")
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SANITIZED_RUN, tests / "gpu_host", tests.parent, asked],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"},
    )
    if asked == "in bounds":
        assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
    else:
        assert done.returncode != 0
        assert "AddressSanitizer" in done.stderr
