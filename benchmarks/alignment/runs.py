"""Runs the programs on the movies, in turns, and looks at what they made."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.alignment.contestants import CRYOFERRY, Contestant, RunResult
from benchmarks.alignment.field_error import field_error, grid_places
from benchmarks.alignment.micrograph_truth import correlation_with_truth, read_micrograph
from benchmarks.alignment.motion_fields import MotionField
from benchmarks.alignment.movies import BenchMovie
from benchmarks.alignment.ring_correlation import ring_correlation
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import Measurement, measure

Tell = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class AlignRun:
    """One run of one program on one movie. What needs truth is None without it; `failure` is the reason."""

    preset: str
    movie: str
    seed: int | None
    pixels: int  # in a frame
    frame_count: int
    program: str
    repeat: int
    command: list[str]
    failure: str | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_bytes: int | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    motion_angstrom: float | None = None
    field_px: float | None = None
    whole_frame_px: float | None = None
    local_px: float | None = None
    frc: list[float] | None = None
    frc_frequencies: list[float] | None = None
    mutual_frc: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def as_object(self) -> dict[str, Any]:
        """Return the run for JSON."""
        return asdict(self)


class AlignRuns:
    """Runs every program on every movie, `repeats` times.

    The order changes from repeat to repeat, so that no program always runs on a cold or a warm machine. Programs'
    outputs are removed once they have been looked at, unless they are to be kept. With `compiles_anew` cryoferry has a
    cache of compiled code of its own, empty at first; else the one that is there.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        work: Path,
        *,
        threads: int,
        repeats: int,
        compiles_anew: bool,
        keep: bool,
        tell: Tell,
    ) -> None:
        self._contestants = contestants
        self._work = work
        self._threads = threads
        self._repeats = repeats
        self._keep = keep
        self._tell = tell
        self._compiled = work / "numba" if compiles_anew else None

    def first_runs(self, movie: BenchMovie) -> list[AlignRun]:
        """Run cryoferry with an empty cache of compiled code, and again; nothing if that is not wanted of it.

        Later runs use that cache.
        """
        if self._compiled is None:
            return []
        shutil.rmtree(self._compiled, ignore_errors=True)
        self._compiled.mkdir(parents=True)
        ours = next((one for one in self._contestants if one.name == CRYOFERRY), None)
        if ours is None:
            return []
        runs = [self._measured(ours, movie, repeat)[0] for repeat in (-2, -1)]
        for repeat in (-2, -1):
            self._clear(movie, ours, repeat)
        return runs

    def on(self, movie: BenchMovie) -> list[AlignRun]:
        """Run all programs on a movie; the first repeat's results are compared with the truth, or with each other."""
        runs = []
        looked_at: dict[str, tuple[AlignRun, NDArray[np.float32]]] = {}
        for repeat in range(self._repeats):
            turn = repeat % len(self._contestants)
            for contestant in (*self._contestants[turn:], *self._contestants[:turn]):
                run, result = self._measured(contestant, movie, repeat)
                runs.append(run)
                if result is not None and repeat == 0:
                    micrograph = self._look_at(run, result, movie)
                    if micrograph is not None:
                        looked_at[contestant.name] = run, micrograph
                self._clear(movie, contestant, repeat)
        if movie.settings is None:
            _compare_with_each_other(looked_at, movie)
        return runs

    def _folder(self, movie: BenchMovie, contestant: Contestant, repeat: int) -> Path:
        return (
            self._work
            / (movie.path.stem if movie.seed is None else movie.path.parent.name)
            / (f"{contestant.name}_{repeat}")
        )

    def _clear(self, movie: BenchMovie, contestant: Contestant, repeat: int) -> None:
        if not self._keep:
            shutil.rmtree(self._folder(movie, contestant, repeat), ignore_errors=True)

    def _measured(self, contestant: Contestant, movie: BenchMovie, repeat: int) -> tuple[AlignRun, RunResult | None]:
        out = self._folder(movie, contestant, repeat)
        out.mkdir(parents=True, exist_ok=True)
        run = AlignRun(
            preset=movie.preset,
            movie=movie.label,
            seed=movie.seed,
            pixels=movie.height * movie.width,
            frame_count=movie.frame_count,
            program=contestant.name,
            repeat=repeat,
            command=contestant.command(movie, out, self._threads),
        )
        try:
            took = measure(
                run.command,
                cwd=movie.path.parent,
                log=out / "stderr.log",
                environment=self.environment(),
            )
            result = contestant.result(movie, out, took.stdout)
        except BenchmarkError as error:
            run.failure = str(error)
            self._tell(f"{movie.label}: {contestant.name} failed: {error}")
            return run, None
        _note(run, took, result)
        self._tell(f"{movie.label}: {contestant.name} {took.wall_s:.1f} s, {took.peak_bytes / 1e9:.2f} GB")
        return run, result

    def environment(self) -> dict[str, str]:
        """Return what programs find in their environment: this cryoferry, not another that may be installed."""
        here = str(Path(__file__).parents[2])
        paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(self._threads)}
        if self._compiled is not None:
            environment["NUMBA_CACHE_DIR"] = str(self._compiled)
        return environment

    def _look_at(self, run: AlignRun, result: RunResult, movie: BenchMovie) -> NDArray[np.float32] | None:
        """Compare a result with the truth; return the micrograph."""
        try:
            micrograph = read_micrograph(result.micrograph)
        except BenchmarkError as error:
            run.failure = str(error)
            return None
        simulated = movie.simulated
        if result.motion is not None:
            run.motion_angstrom = _path_length(result.motion, movie)
        if simulated is None:
            return micrograph
        if result.motion is not None:
            error_of_field = field_error(result.motion, simulated.truth)
            run.field_px = error_of_field.field_px
            run.whole_frame_px = error_of_field.whole_frame_px
            run.local_px = error_of_field.local_px
        correlation = correlation_with_truth(micrograph, movie, simulated, result.motion)
        run.frc, run.frc_frequencies = list(correlation.frc), list(correlation.frequencies)
        return micrograph


def _note(run: AlignRun, took: Measurement, result: RunResult) -> None:
    run.wall_s, run.cpu_s, run.peak_bytes = took.wall_s, took.cpu_s, took.peak_bytes
    run.stage_seconds, run.notes = result.stage_seconds, result.notes


def _path_length(motion: MotionField, movie: BenchMovie) -> float:
    """Return how far the frames' means went, step by step, in Å."""
    y, x = grid_places(movie.height, movie.width)
    places = [np.stack(motion.displacement(frame, y, x)).mean(axis=1) for frame in range(motion.frame_count)]
    steps = np.diff(np.array(places), axis=0)
    return float(np.hypot(*steps.T).sum() * movie.pixel_size_angstrom)


def _compare_with_each_other(looked_at: dict[str, tuple[AlignRun, NDArray[np.float32]]], movie: BenchMovie) -> None:
    pixel_size = movie.pixel_size_angstrom * movie.bin_factor
    for (name, (run, image)), (other_name, (other_run, other)) in itertools.combinations(looked_at.items(), 2):
        if image.shape == other.shape:
            correlation = ring_correlation(image, other, pixel_size)
            run.mutual_frc[other_name] = other_run.mutual_frc[name] = list(correlation.frc)
            run.frc_frequencies = other_run.frc_frequencies = list(correlation.frequencies)
