"""Movies that end a real worker process, or make its GPU fail: they fail in the end, and others are aligned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copy

import kernels_on_host
import pytest
from cupy_elsewhere import CupyElsewhere
from cupy_on_host import PlannedFault

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.steps.align_step import AlignStep
from agents.turns import MAX_ATTEMPTS, StepEnd
from agents.watch_settings import WatchSettings
from agents.workers.local_process import LocalProcessWorker
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import AUTO
from preprocess.settings import AlignmentSettings
from tests.agents.steps.scripted import ScriptedReceiver, access_of, claim_step

FLAGS = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)
ILLEGAL_ADDRESS = PlannedFault("warp_tiles", "CUDADriverError", 700)
NOT_AVAILABLE = PlannedFault("setup", "CUDARuntimeError", 46)

KILLS_ITSELF = """
import os, sys

def kill(event, arguments):
    if event == "open" and "crash" in os.path.basename(str(arguments[0])) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        os.kill(os.getpid(), 9)

sys.addaudithook(kill)
"""
"""A `sitecustomize` that kills a process where it begins to write an output of a movie named `crash`."""


@dataclass
class Bench:
    """An agent's alignment step with a real worker."""

    folder: Path
    settings: WatchSettings
    journal: Journal
    worker: LocalProcessWorker
    step: AlignStep = field(init=False)

    def __post_init__(self) -> None:
        claims = claim_step(self.settings, self.journal, ScriptedReceiver())
        access = access_of(self.settings)
        self.step = AlignStep(self.settings, self.journal, claims, Measurements(), lambda: False, access)

    def add(self, movie: Path, name: str) -> ExposureRow:
        """Put a movie into the source, and note that it is finished."""
        copy(movie, self.settings.source / name)
        found = self.journal.find(name, Path(name).stem, Path(name).stem)
        return self.journal.finish(found.exposure_id, FileIdentity.of((self.settings.source / name).stat()))

    def run(self, exposure: ExposureRow) -> StepEnd:
        """Do the step for an exposure as the journal has it."""
        return self.step.run(self.now(exposure), self.worker)

    def now(self, exposure: ExposureRow) -> ExposureRow:
        """Return the exposure as the journal has it."""
        return self.journal.exposure(exposure.exposure_id)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    for name in ("source", "work", "modules"):
        (tmp_path / name).mkdir()
    chosen = ChosenAlignment(settings=AlignmentSettings(device="cpu"), flags=FLAGS, configured=Acquisition())
    settings = WatchSettings(
        source=tmp_path / "source", work=tmp_path / "work", session="s", layout=AUTO, chosen=chosen, align_timeout_s=600
    )
    journal = Journal(settings.work)
    worker = LocalProcessWorker({"PYTHONPATH": str(tmp_path / "modules")})
    yield Bench(tmp_path, settings, journal, worker)
    worker.close()
    journal.close()


@pytest.fixture
def gpu(bench: Bench) -> Iterator[tuple[Bench, CupyElsewhere]]:
    if kernels_on_host.compiler() is None:
        pytest.skip("no C++ compiler for the kernels")
    elsewhere = CupyElsewhere(bench.folder / "cupy")
    worker = LocalProcessWorker(elsewhere.environment)
    chosen = replace(bench.settings.chosen, settings=AlignmentSettings(device="cuda:0"))
    yield Bench(bench.folder, replace(bench.settings, chosen=chosen), bench.journal, worker), elsewhere
    worker.close()


def test_a_movie_that_kills_each_worker_fails_and_the_next_is_aligned(bench: Bench, simulated: Path) -> None:
    (bench.folder / "modules" / "sitecustomize.py").write_text(KILLS_ITSELF)
    crashing = bench.add(simulated / "0.tiff", "crash.tiff")
    other = bench.add(simulated / "1.mrc", "other.mrc")
    for _ in range(MAX_ATTEMPTS):
        assert bench.now(crashing).state == State.FINISHED
        bench.run(crashing)
    after = bench.now(crashing)
    assert (after.state, after.reason) == (State.FAILED, "the worker died: killed by signal 9 (SIGKILL), 3 times")
    assert "`cryoferry retry --failed` aligns it again" in after.hint
    bench.run(other)
    assert bench.now(other).state == State.ALIGNED


def test_a_movie_that_makes_the_gpu_fail_each_time_fails_and_others_are_aligned(
    gpu: tuple[Bench, CupyElsewhere], simulated: Path
) -> None:
    bench, elsewhere = gpu
    crashing = bench.add(simulated / "0.tiff", "it's.tiff")
    other = bench.add(simulated / "1.mrc", "other.mrc")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert bench.now(crashing).state == State.FINISHED
        bench.worker.close()  # a process has the failure from its start
        elsewhere.plant(ILLEGAL_ADDRESS)
        end = bench.run(crashing)
        assert not elsewhere.is_planted
        assert bench.now(crashing).attempts == attempt
        if attempt == 1:  # another movie has its turn, and the GPU aligns it
            assert end is StepEnd.BACKED_OFF
            bench.run(other)
            assert bench.now(other).state == State.ALIGNED
    after = bench.now(crashing)
    assert after.state == State.FAILED
    assert after.reason.startswith("DeviceLost: cuda:0 failed: ")
    assert after.reason.endswith("a trial computation succeeds there, so this movie causes it, 3 times")
    assert """`cryoferry retry 'it'"'"'s.tiff' --device cpu` aligns it on the CPU""" in after.hint


def test_a_gpu_that_is_gone_fails_no_movie(gpu: tuple[Bench, CupyElsewhere], simulated: Path) -> None:
    bench, elsewhere = gpu
    elsewhere.plant(NOT_AVAILABLE, lasts=True)
    movies = [bench.add(simulated / "0.tiff", "one.tiff"), bench.add(simulated / "1.mrc", "two.mrc")]
    for exposure in [*movies, movies[0], movies[0], movies[0]]:
        assert bench.run(exposure) is StepEnd.BACKED_OFF
        assert (bench.now(exposure).state, bench.now(exposure).attempts) == (State.FINISHED, 0)
    elsewhere.repair()
    for exposure in movies:
        bench.run(exposure)
        assert bench.now(exposure).state == State.ALIGNED


def test_a_gpu_that_dropped_out_of_the_list_fails_no_movie(gpu: tuple[Bench, CupyElsewhere], simulated: Path) -> None:
    bench, elsewhere = gpu
    chosen = replace(bench.settings.chosen, settings=AlignmentSettings(device="cuda:1"))
    bench = Bench(bench.folder, replace(bench.settings, chosen=chosen), bench.journal, bench.worker)
    exposure = bench.add(simulated / "0.tiff", "one.tiff")
    for _ in range(MAX_ATTEMPTS):  # one GPU of two is left
        assert bench.run(exposure) is StepEnd.BACKED_OFF
        assert (bench.now(exposure).state, bench.now(exposure).attempts) == (State.FINISHED, 0)
        assert bench.worker.pid is None, "a process counts the GPUs once"
    elsewhere.count_devices(2)
    bench.run(exposure)
    assert bench.now(exposure).state == State.ALIGNED
