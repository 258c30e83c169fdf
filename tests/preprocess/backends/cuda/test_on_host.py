"""The CUDA backend's real classes and kernels, run on the host: memory, batches, repeatability, whole movies.

What is proven is logic; nothing here ran on a device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cuda_on_host
import kernels_on_host
import numpy as np
import pytest
from cuda_on_host import CudaOnHost
from odd_movie import COUNT, HEIGHT, WIDTH, hold, layout_of, measured, movie_frames, wavy_field
from sanitized_run import run_sanitized

from preprocess.alignment.whole_frame import estimation_bin
from preprocess.backends.choose import choose_backend
from preprocess.backends.contract import RING_COUNT, Backend
from preprocess.errors import DeviceError, DeviceOutOfMemory
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import lay_patches


@pytest.fixture
def host() -> Iterator[CudaOnHost]:
    with cuda_on_host.cuda_on_host() as host:
        yield host


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("kernels", ["usual", "backwards", "ahead", "ahead backwards"])
def test_results_do_not_depend_on_who_comes_first(random: np.random.Generator, kernels: str) -> None:
    frames, tall = movie_frames(random, shape=(3, 61, 131)), movie_frames(random, shape=(2, 1100, 21))
    gain = random.uniform(0.7, 1.3, frames.shape[1:]).astype(np.float32)
    long, field, weights = np.concatenate([frames, frames]), wavy_field(0.5, 6), np.ones((7, 6), "f4")
    runs = []
    for way in ("usual", kernels):
        with cuda_on_host.cuda_on_host(kernels=way) as host:
            images = hold(host.backend(), long, gain).warped_sums(field, weights)
            motion = [*measured(host.backend(), frames, gain, 2), *measured(host.backend(), tall, None, 1)]
            runs.append([*motion, *(image.get() for image in images)])
    for found, expected in zip(*runs, strict=True):
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


def batches_follow_free_memory(host: CudaOnHost, size_bytes: int) -> None:
    """Plant the mistake: the memory that is free decides how many images are transformed together."""

    def in_batches(count: int, bytes_each: int, step: Callable[[int, int], None]) -> None:
        most = max(1, size_bytes // (20 * bytes_each))
        for start in range(0, count, most):
            step(min(start, count - min(most, count)), min(start, count - min(most, count)) + min(most, count))

    for name in ("spectra", "patch_spectra"):
        host.module(name).in_batches = in_batches


@pytest.mark.parametrize("mistaken", [False, True])
def test_with_less_memory_transforms_are_of_as_many_images(random: np.random.Generator, mistaken: bool) -> None:
    """Here a transform's last bits depend on how many there are at once, as nobody says that a device's do not."""
    frames, found, planned = movie_frames(random), [], []
    for cap_bytes in (2**28, 6_000_000):
        with cuda_on_host.cuda_on_host() as host:
            host.device.bits_by_batch = True
            host.module("device_memory").TRANSFORMED_BYTES = 700_000  # some steps, as a large movie needs
            if mistaken:
                batches_follow_free_memory(host, cap_bytes)
            backend = host.backend(memory_gb=cap_bytes / 1e9)
            found.append(measured(backend, frames, None, 1))
            planned.append(sorted(key[2] for key in backend.device.transforms._plans))
            assert host.device.highest <= cap_bytes
            assert mistaken or host.device.launches.count("bin_frames") > 2, "there was but one step"
    same = all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert (same, planned[0] == planned[1]) == (not mistaken, not mistaken)


def test_a_movie_whose_transforms_do_not_fit_is_refused_and_not_done_otherwise(random: np.random.Generator) -> None:
    with cuda_on_host.cuda_on_host() as host, pytest.raises(DeviceOutOfMemory):
        measured(host.backend(memory_gb=2e-3), movie_frames(random), None, 1)


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
            np.testing.assert_array_equal(part.get(), plain[-1])


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
        backend.filtered_sum(images, np.tile(np.float32([1.0, 0.5]), (len(images), 1)), (HEIGHT, WIDTH))
        del images, stack
        taken.append(host.device.taken)
    assert taken[1] == taken[3]
    assert len(backend.device.transforms._plans) <= 5


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


def test_the_timer_keeps_few_events(host: CudaOnHost) -> None:
    timer = host.module("device_timer").DeviceTimer()
    for _ in range(1000):
        with timer.stage("all", moved_bytes=3):
            pass
    assert len(timer._pending) <= host.module("device_timer").MOST_PENDING
    assert timer.times()["all"].bytes == 3000


@pytest.mark.parametrize("reads_pageable", [0, 1])
def test_a_device_that_reads_the_hosts_memory_by_itself_is_waited_for(reads_pageable: int) -> None:
    """A temporary array must not be gone before it is read."""
    with cuda_on_host.cuda_on_host() as host:
        host.device.attributes[host.module("device_memory").PAGEABLE_MEMORY_ACCESS] = reads_pageable
        stack = host.backend().hold(1, 4, 4, np.dtype(np.uint8))
        waited = host.device.waits
        stack.put(0, np.ones((4, 4)))
        assert host.device.waits - waited == reads_pageable


@pytest.mark.parametrize(
    ("dtype", "count", "total"),
    [
        ("uint8", 4000, "i32"),
        ("int16", 32768, "i32"),
        ("uint16", 32769, "i64"),
        ("int32", 2, "i64"),
        ("float32", 2, "double"),
    ],
)
def test_integers_are_summed_exactly_as_integers(host: CudaOnHost, dtype: str, count: int, total: str) -> None:
    frames = host.cupy.zeros((count, 1, 1), dtype)
    assert host.module("frame_sum")._total(frames) == total
    if np.dtype(dtype).kind != "f":
        frames[...] = np.iinfo(dtype).max
    expected = np.float32(float(frames.get().astype(np.float64).sum()))
    whole = host.module("frame_sum").CudaFrameSum(frames, None, host.backend().device)
    assert whole._seen[0].get()[0, 0] == expected


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


WAITING = """
#include "portable.h"
KERNEL neighbours(const i32* given, i32* made) {
    SHARED i32 held[THREADS];
    EACH_THREAD { held[thread] = given[thread]; }
    %s;
    EACH_THREAD { made[thread] = held[(thread + 1) %% THREADS]; }
}
KERNEL parted(const i32* given, i32* made) {
    if (given[0] > host_block.thread) BARRIER;
    EACH_THREAD { made[thread] = 0; }
}
"""


def test_a_missing_barrier_and_one_that_not_all_threads_meet_are_seen(host: CudaOnHost) -> None:
    dialect = (Path(host.module("sources").__file__).parent / "kernels/portable.h").read_text("utf-8")
    numbers = np.arange(1, 257, dtype=np.int32)
    given, made = host.cupy.array(numbers), host.cupy.zeros(256, np.int32)
    for between, flags, right in (
        ("BARRIER", "ahead", True),
        ("BARRIER", "ahead backwards", True),
        ("", "ahead", False),
        ("", "ahead backwards", False),
    ):
        source = (WAITING % between).replace('#include "portable.h"\n', dialect)
        library = kernels_on_host.HostLibrary(source, cuda_on_host.FLAGS[flags])
        library.launch("neighbours", (1,), (256,), (given, made))
        assert np.array_equal(made.get(), np.roll(numbers, -1)) == right
    library.launch("parted", (1,), (256,), (host.cupy.array(numbers + 300), made))  # all threads wait
    with pytest.raises(AssertionError, match="the same barriers"):
        library.launch("parted", (1,), (256,), (given, made))


SANITIZED_RUN = """
import numpy as np
from cuda_on_host import cuda_on_host
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import lay_patches

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
    assert not set(("warp_tiles", "warp_pixels")) - set(host.device.launches)
    if {too_far}:
        parts, means = host.cupy.zeros((1, 3), "f8"), host.cupy.zeros(1, "f4")
        host.module("sources").kernel("binning", "find_means")((99,), parts, means, 3, 10)
print("clean")
"""


@pytest.mark.parametrize("too_far", [False, True])
def test_sanitizers_find_nothing_in_the_kernels_and_would_find_it(too_far: bool) -> None:
    done = run_sanitized(SANITIZED_RUN.replace("{too_far}", str(too_far)))
    if too_far:
        assert done.returncode != 0
        assert "AddressSanitizer" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
