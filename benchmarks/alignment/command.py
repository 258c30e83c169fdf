"""What `cryoferry bench align` does: movies, runs, summary, tables, JSON and pictures."""

from __future__ import annotations

import json as json_text
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.alignment.contestants import Contestant, chosen_contestants, on_device, program_version
from benchmarks.alignment.in_a_row import InARow
from benchmarks.alignment.movies import BenchMovie, own_movie, simulated_movie
from benchmarks.alignment.plots import write_plots
from benchmarks.alignment.presets import Preset, find_preset, parse_seeds
from benchmarks.alignment.runs import AlignRun, AlignRuns
from benchmarks.alignment.scaling import LENGTHS, SIZES, Scaling, scaling
from benchmarks.alignment.summary import Summary, summarise
from benchmarks.alignment.sustained import Sustained
from benchmarks.alignment.tables import tables
from benchmarks.device.figures import DeviceFigures
from benchmarks.device.measuring import require_device
from benchmarks.device.tables import device_tables
from benchmarks.errors import NothingToMeasure
from benchmarks.machine import machine
from preprocess.exposure.acquisition import Acquisition
from preprocess.outputs.whole_files import write_text

SOME_FAILED = 3
SUSTAINED_ON_DEVICE = 200
WIDTH_COLUMNS = 100
FIRST_MOVIE = "small@256x256x6"
"""What cryoferry is run on with nothing compiled yet: so small that compiling is nearly all that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignPlan:
    """What a user wants measured."""

    presets: tuple[str, ...]
    movies: tuple[Path, ...]
    seeds: str
    programs: tuple[str, ...]
    threads: int
    repeats: int
    first_movie: bool
    scaling: bool
    cache: Path
    out: Path
    keep: bool
    gain: Path | None
    eer_frames: int | None
    acquisition: Acquisition
    device: str = "cpu"
    sustained: int | None = None

    @property
    def sustained_count(self) -> int:
        """Return how many movies to align in a row; 0: none. By default many on a CUDA device."""
        if self.sustained is None:
            return 0 if self.device == "cpu" else SUSTAINED_ON_DEVICE
        return self.sustained


@dataclass(frozen=True, slots=True)
class Results:
    """All that was measured."""

    plan: AlignPlan
    machine: dict[str, Any]
    versions: dict[str, str]
    missing: dict[str, str]
    first_runs: list[AlignRun]
    runs: list[AlignRun]
    summaries: list[Summary]
    scalings: list[Scaling]
    on_device: list[DeviceFigures]
    sustained: list[Sustained]
    failures: list[str]

    @property
    def some_failed(self) -> bool:
        """Tell whether anything could not be measured."""
        failures = [run.failure for run in self.runs] + [one.failure for one in self.sustained] + self.failures
        return any(failure is not None for failure in failures)

    def as_object(self) -> dict[str, Any]:
        """Return the results for JSON."""
        return {
            "machine": self.machine,
            "device": self.plan.device,
            "threads": self.plan.threads,
            "repeats": self.plan.repeats,
            "programs": self.versions,
            "missing": self.missing,
            "first_runs": [run.as_object() for run in self.first_runs],
            "summary": [summary.as_object() for summary in self.summaries],
            "scaling": [one.as_object() for one in self.scalings],
            "on_device": [one.as_object() for one in self.on_device],
            "sustained": [one.as_object() for one in self.sustained],
            "failures": self.failures,
            "runs": [run.as_object() for run in self.runs],
        }


def run_align_benchmark(plan: AlignPlan, *, dry_run: bool, json: bool) -> int:
    """Measure, print and write the results; return the exit code.

    Raises
    ------
    NothingToMeasure
        Neither presets nor movies, or a name that nothing has.
    DeviceMissing
        The CUDA device that is to be measured does not answer.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    presets, seeds = [find_preset(name) for name in _preset_names(plan)], parse_seeds(plan.seeds)
    if not presets and not plan.movies:
        raise NothingToMeasure("neither a preset nor --movies is given")
    own = [own_movie(path, gain=plan.gain, flags=plan.acquisition, eer_frames=plan.eer_frames) for path in plan.movies]
    here, missing = chosen_contestants(list(plan.programs))
    if plan.device != "cpu":
        here.insert(0, on_device(plan.device))
    for contestant in missing:
        console.print(f"{contestant.name} is not on the PATH; {contestant.how_to_get}", markup=False)
    if dry_run:
        _show_plan(plan, presets, seeds, here, json=json)
        return 0
    require_device(plan.device)
    results = _measure(plan, chain(_simulated(plan, presets, seeds, console), own), here, missing, console)
    written = _write(results)
    pictures = write_plots(results.summaries, results.scalings, plan.out)
    _show_results(results, [written, *pictures], json=json)
    if json:
        typer.echo(json_text.dumps(results.as_object(), ensure_ascii=False))
    return SOME_FAILED if results.some_failed else 0


def _preset_names(plan: AlignPlan) -> list[str]:
    return list(dict.fromkeys([*plan.presets, *((*SIZES, *LENGTHS) if plan.scaling else ())]))


def _simulated(
    plan: AlignPlan, presets: Sequence[Preset], seeds: Sequence[int], console: Console
) -> Iterator[BenchMovie]:
    """Yield the presets' movies, each made when its turn comes; those for scaling alone in one seed."""
    for preset in presets:
        for seed in seeds if preset.name in plan.presets else seeds[:1]:
            console.print(f"{preset.name} {seed}: {preset.about}", style="dim", markup=False)
            yield simulated_movie(preset, seed, plan.cache)


def _measure(
    plan: AlignPlan,
    movies: Iterator[BenchMovie],
    here: Sequence[Contestant],
    missing: Sequence[Contestant],
    console: Console,
) -> Results:
    """Run the programs on each movie in turn; write the results so far after each."""
    at_first = machine()
    versions = {contestant.name: program_version(contestant) for contestant in here}
    how_to_get = {contestant.name: contestant.how_to_get for contestant in missing}

    def tell(text: str) -> None:
        console.print(f"  {text}", markup=False)

    work = plan.out.resolve() / "work"
    runner = AlignRuns(
        here,
        work,
        threads=plan.threads,
        repeats=plan.repeats,
        compiles_anew=plan.first_movie,
        keep=plan.keep,
        tell=tell,
    )
    runs: list[AlignRun] = []
    first_runs: list[AlignRun] = []
    in_a_row = InARow(plan.device, plan.sustained_count, work, plan.threads, runner.environment(), tell)

    def so_far() -> Results:
        return Results(
            plan=plan,
            machine=at_first,
            versions=versions,
            missing=how_to_get,
            first_runs=first_runs,
            runs=list(runs),
            summaries=summarise([run for run in runs if not run.preset or run.preset in plan.presets]),
            scalings=scaling(runs) if plan.scaling else [],
            on_device=in_a_row.on_device,
            sustained=in_a_row.sustained,
            failures=in_a_row.failures,
        )

    try:
        first_runs = runner.first_runs(simulated_movie(find_preset(FIRST_MOVIE), 0, plan.cache))
        done = []
        for movie in movies:
            runs += runner.on(movie)
            done.append(movie)
            _write(so_far())
        for alike in _by_kind(movie for movie in done if not movie.preset or movie.preset in plan.presets):
            in_a_row.measure(alike)
            _write(so_far())
    finally:
        if not plan.keep:
            shutil.rmtree(work, ignore_errors=True)
    return so_far()


def _by_kind(movies: Iterable[BenchMovie]) -> list[list[BenchMovie]]:
    """Return movies together that one command can align together."""
    kinds: dict[tuple[object, ...], list[BenchMovie]] = {}
    for movie in movies:
        kinds.setdefault(movie.kind, []).append(movie)
    return list(kinds.values())


def _write(results: Results) -> Path:
    path = results.plan.out / "align.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json_text.dumps(results.as_object(), indent=1, ensure_ascii=False) + "\n")
    return path


def _show_plan(
    plan: AlignPlan,
    presets: Sequence[Preset],
    seeds: Sequence[int],
    here: Sequence[Contestant],
    *,
    json: bool,
) -> None:
    wanted = {
        "presets": [preset.name for preset in presets],
        "seeds": list(seeds),
        "movies": [str(path) for path in plan.movies],
        "programs": [contestant.name for contestant in here],
        "repeats": plan.repeats,
        "device": plan.device,
        "movies_in_a_row": plan.sustained_count,
    }
    if json:
        typer.echo(json_text.dumps(wanted))
        return
    for name, value in wanted.items():
        typer.echo(f"{name}: {value}")


def _show_results(results: Results, written: Sequence[Path], *, json: bool) -> None:
    console = Console(stderr=json, highlight=False)  # with --json, stdout is for the object
    if not console.is_terminal or console.width > WIDTH_COLUMNS:
        console.width = WIDTH_COLUMNS
    machine = results.machine
    console.print(
        f"\n{machine['processor']}, {machine['cores']} cores, {results.plan.threads} threads for each program; "
        f"load at the beginning {machine['load_1_min']:g}",
        markup=False,
    )
    for table in chain(
        tables(results.summaries, results.scalings, results.first_runs),
        device_tables(results.on_device, results.sustained, results.summaries),
    ):
        console.print()
        console.print(table)
    for summary in results.summaries:
        for failure in summary.failures:
            console.print(f"{summary.preset}, {summary.program}: {failure}", markup=False, style="red")
    for failure in results.failures:
        console.print(failure, markup=False, style="red")
    console.print("\nwrote " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
