"""One movie is read while another is computed, each on a stream: the results are right in whatever order events allow.

Work waits in the stand-in's queues, and memory that came back is handed out again as it was. So a wait that is missing
shows: the tests take away each of them. No device is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cupy_on_host
import numpy as np
import pytest
from campaign import IS_LONG
from cuda_on_host import CudaOnHost, cuda_on_host
from queues_on_host import AT_ONCE, ORDERS

from preprocess.computed_movie import ComputedMovie
from preprocess.errors import PreprocessError
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.held_places import ProcessingStopped
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import process_movies
from preprocess.pipeline.stage_timer import StageTimer
from preprocess.settings import AlignmentSettings, CtfSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

NAMES = ("a.tiff", "b.tiff", "c.tiff")
KNOWN = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
ALL_ORDERS = (*ORDERS, *(f"random {number}" for number in range(4, 44 if IS_LONG else 4)))
Site = tuple[str, str, int]
"""File, function and line of one of our calls that wait."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for seed, name in enumerate(NAMES, start=1):
        settings = SimulationSettings(
            height=64,
            width=96,
            frame_count=4,
            seed=seed,
            dose_per_frame_e_per_a2=5,
            detector_seed=seed,  # other defects: what one movie leaves in memory is not right for the next one
            hot_pixels_per_million=2000,
        )
        movie = simulate_movie(settings)
        movie.write(folder / name)
    movie.write_gain(folder / "gain.mrc", movie_format="tiff")
    return folder


def stages_on_device(folder: Path, out: Path, host: CudaOnHost) -> MovieStages:
    host.module("batches").BLOCK_BYTES = 1  # each upload brings one frame, so that its buffers take turns
    gain = GainSettings(path=folder / "gain.mrc", orientation="given")
    settings = AlignmentSettings(
        device="cuda:0", threads=1, ctf=CtfSettings(wanted=False), gain=gain, unweighted=True, bin_factor=2
    )
    return MovieStages.chosen(out, settings, KNOWN, Acquisition())


def overlapped_by_hand(folder: Path, order: str) -> list[bytes]:
    """Take three movies through the stages in one thread: each is read at the worst moment of those before it.

    Before them a movie is given up while it is read. The third one is read when the first one's frames have just been
    released, so that it gets their memory. What is computed comes down when all is computed.
    """
    with cuda_on_host(2**28, order=order) as host:
        stages, timer = stages_on_device(folder, folder / "none", host), StageTimer()
        prepared = [stages.prepare(folder / name, timer) for name in NAMES]
        with pytest.raises(ProcessingStopped):
            stages.read(prepared[2], StageTimer(_stop_in_the_middle))
        held = [stages.read(prepared[number], timer) for number in (0, 1)]
        stack = host.module("stack").CudaFrameStack
        release = stack.release

        def release_and_read(frames: Any) -> None:
            release(frames)
            if len(held) < len(NAMES):
                held.append(stages.read(prepared[len(held)], timer))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stack, "release", release_and_read)
            computed = [stages.compute(prepared[number], held[number], timer) for number in range(len(NAMES))]
        return [part for movie in computed for part in results(movie)]


def _stop_in_the_middle(_stage: str, fraction: float) -> None:
    if 0 < fraction < 1:
        raise ProcessingStopped


def results(movie: ComputedMovie) -> list[bytes]:
    images = [image.pixels() for image in movie.images.images.values()]
    found = (*images, movie.motion.shifts, movie.images.boxes, movie.images.half_spectrum)
    return [array.tobytes() for array in found]


@contextmanager
def waits_listed(seen: list[Site], forgotten: Site | None = None) -> Iterator[None]:
    """List from where the backend waits; let it not wait at one of these places."""

    def instead(wait: Callable[..., None]) -> Callable[..., None]:
        def waits(*given: Any) -> None:
            caller = sys._getframe(1)
            code = caller.f_code
            site = (Path(code.co_filename).stem, code.co_name, caller.f_lineno)
            if "backends/cuda" in Path(code.co_filename).as_posix() and site not in seen:
                seen.append(site)
            if site != forgotten:
                wait(*given)

        return waits

    stream, event = cupy_on_host.Stream, cupy_on_host.Event
    with pytest.MonkeyPatch.context() as patched:
        for owner, name in ((stream, "wait_event"), (stream, "synchronize"), (event, "synchronize")):
            patched.setattr(owner, name, instead(getattr(owner, name)))
        yield


@pytest.fixture(scope="module")
def right(folder: Path) -> list[bytes]:
    return overlapped_by_hand(folder, AT_ONCE)


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_results_are_right_in_every_order(folder: Path, right: list[bytes], order: str) -> None:
    assert overlapped_by_hand(folder, order) == right


def test_threads_that_read_compute_and_write_at_a_time_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    written = []
    for order in (AT_ONCE, *ORDERS[:3]):
        out = tmp_path / order
        with cuda_on_host(2**28, order=order) as host:
            for end in process_movies([folder / name for name in NAMES], stages_on_device(folder, out, host)):
                end.result()
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(written[0]) > len(NAMES)
    assert all(files == written[0] for files in written)


def test_each_wait_that_is_forgotten_shows(folder: Path, right: list[bytes]) -> None:
    seen: list[Site] = []
    with waits_listed(seen):
        overlapped_by_hand(folder, AT_ONCE)
    assert sorted({site[:2] for site in seen}) == [
        ("device_memory", "_wait_for_other_streams"),  # memory that another stream has used
        ("downloads", "begin"),  # see the next test: statistics are waited for before anything comes down
        ("downloads", "wait_for"),
        ("stack", "_wait_until_ready"),  # a movie that is handed over
        ("upload", "__iter__"),  # four: what is decoded has come, buffers of the device and the host are free, the end
    ]
    assert len(seen) == 8
    hidden = {site[:2] for site in seen if not _shows(folder, right, site)}
    assert hidden == {("downloads", "begin")}


def _shows(folder: Path, right: list[bytes], forgotten: Site) -> bool:
    for order in ORDERS:
        with waits_listed([], forgotten):
            try:
                found = overlapped_by_hand(folder, order)
            except (PreprocessError, ValueError, ArithmeticError):
                return True
        if found != right:
            return True
    return False


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_copy_comes_down_when_it_is_made(forgotten: bool) -> None:
    with cuda_on_host(order="late") as host:
        device = host.backend().device
        with device.entered():
            made = host.cupy.zeros(1000, "f4")
            made[...] = 7
            downloads = device.downloads
            with pytest.MonkeyPatch.context() as patched:
                if forgotten:
                    patched.setattr(cupy_on_host.Stream, "wait_event", lambda *_: None)
                arriving, there = downloads.begin(made, np.float32)
            downloads.wait_for(there)
        assert bool((arriving == 7).all()) != forgotten


def test_a_plan_serves_one_stream(folder: Path) -> None:
    with cuda_on_host() as host:
        computing = host.backend()
        reading = computing.for_reading()
        assert computing.device.stream is not reading.device.stream
        for backend in (computing, reading, computing):
            with backend.device.entered():
                images, made = host.cupy.zeros((1, 8, 8), "f4"), host.cupy.zeros((1, 8, 5), "c8")
                backend.device.transforms.forward(images, made)
        plan = next(iter(computing.device.transforms._plans.values()))
        with reading.device.entered(), pytest.raises(AssertionError, match="two streams"):
            plan.fft(images, made, host.cupy.cuda.cufft.CUFFT_FORWARD)


def test_both_streams_count_under_one_cap_and_what_each_keeps_as_free() -> None:
    with cuda_on_host() as host:
        computing = host.backend(memory_gb=0.01)
        reading, image = computing.for_reading(), np.ones((512, 512), np.float32)
        assert reading.device.memory is computing.device.memory
        before = computing.available_bytes()
        for backend in (computing, reading):
            assert backend.upload(image) is backend.upload(image)
            assert backend.available_bytes() == before
        assert computing.device.memory.taken_bytes() >= 2 * image.nbytes
