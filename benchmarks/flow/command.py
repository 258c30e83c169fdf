"""What `cryoferry bench flow` does: fill, measure, fill on, measure again; then table, JSON and picture."""

from __future__ import annotations

import json as json_text
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.errors import NothingToMeasure
from benchmarks.flow.figures import COUNTED, Phase, growth
from benchmarks.flow.filling import fill
from benchmarks.flow.phase import PhaseRun
from benchmarks.flow.place import FlowPlace
from benchmarks.flow.plot import write_plot
from benchmarks.flow.running import no_follower_left
from benchmarks.flow.small_movies import FRAMES, SIZE_PX
from benchmarks.flow.tables import table
from benchmarks.machine import machine
from preprocess.outputs.whole_files import write_text

REGISTRARS = ("relion", "scipion")
WIDTH_COLUMNS = 130
TARGET_GROWTH, TARGET_BYTES = 1.15, 200e6
_BYTES_AN_EXPOSURE = 400_000
"""Disk space that an exposure of the fill takes, mostly for the picture that Scipion's follower copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """What a user wants measured.

    Attributes
    ----------
    sizes
        Exposures in the session when the next ones are measured; they rise.
    exposures
        How many are measured at each size.
    pause_s
        Time between two movies of these.
    per_hour, minutes
        The run at the end, at the largest size; no minutes: none.
    settle_s
        After how many seconds without a change a movie is finished.
    scan_s
        Pause between two scans of the movies' folder.
    block
        Exposures in a block, of which the first is the warm-up.
    idle_s
        How long the programs are measured with nothing to do.
    """

    sizes: tuple[int, ...]
    exposures: int
    pause_s: float
    per_hour: float
    minutes: float
    settle_s: float
    scan_s: float
    registrars: tuple[str, ...]
    scipion: Path
    database: str | None
    work: Path | None
    out: Path
    keep: bool
    block: int
    idle_s: float

    @property
    def last_exposures(self) -> int:
        """Return how many exposures the run at the end has."""
        return round(self.minutes * self.per_hour / 60)


def run_flow_benchmark(plan: FlowPlan, *, dry_run: bool, json: bool) -> int:
    """Measure, print and write the results; return the exit code.

    Raises
    ------
    NothingToMeasure
        The plan cannot be measured here.
    """
    _check(plan)
    if dry_run:
        _show_plan(plan, json=json)
        return 0
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    at_first = machine()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is stopped on the way out
    plan.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="cryoferry-flow-", dir=plan.work or plan.out)).absolute()
    with ExitStack() as stack:
        if not plan.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        place = FlowPlace(
            folder,
            database=plan.database,
            scipion=plan.scipion.absolute() if "scipion" in plan.registrars else None,
            relion="relion" in plan.registrars,
        )
        stack.enter_context(no_follower_left(place))
        flow = _Flow(plan, place, at_first, console)
        flow.run()
    written = flow.write()
    _show_results(plan, flow, written, json=json)
    if json:
        typer.echo(json_text.dumps(flow.facts(), ensure_ascii=False))
    return 0


class _Flow:
    """The steps of one benchmark."""

    def __init__(self, plan: FlowPlan, place: FlowPlace, at_first: dict[str, Any], console: Console) -> None:
        self._plan, self._place, self.at_first, self._console = plan, place, at_first, console
        self._count = 0
        self._fills: list[dict[str, Any]] = []
        self.phases: list[Phase] = []
        self.last: Phase | None = None

    def run(self) -> None:
        """Fill and measure at each size, then for the time that was asked for. Each result is written at once."""
        plan = self._plan
        for size in plan.sizes:
            self._fill(size)
            self._console.print(f"{plan.exposures} exposures at {self._count:,}", style="bold", markup=False)
            self.phases.append(self._measure(f"at-{size}", plan.exposures, plan.pause_s))
            self.write()
        if plan.last_exposures:
            self._console.print(
                f"{plan.last_exposures} exposures, {plan.per_hour:g} an hour, at {self._count:,}",
                style="bold",
                markup=False,
            )
            self.last = self._measure("at-the-end", plan.last_exposures, 3600.0 / plan.per_hour)
            self.write()

    def _fill(self, size: int) -> None:
        """Fill to a size. The first fill also starts the session, so it is done for no exposures, too."""
        if size <= self._count and self._fills:
            return
        self._console.print(f"Filling to {size:,} exposures", style="bold", markup=False)
        seconds = fill(self._place, self._count + 1, size, self._tell)
        self._fills.append({"from": self._count, "to": size, "seconds": seconds})
        self._count = size

    def _measure(self, name: str, count: int, pause_s: float) -> Phase:
        plan = self._plan
        run = PhaseRun(
            self._place,
            self._count,
            count,
            pause_s=pause_s,
            settle_s=plan.settle_s,
            scan_s=plan.scan_s,
            block=plan.block,
            idle_s=plan.idle_s,
        )
        phase = run.run(self._place.folder / "logs" / name, self._tell)
        self._count += count
        return phase

    def _tell(self, text: str) -> None:
        self._console.print(f"  {text}", style="dim", markup=False)

    @property
    def all_phases(self) -> list[Phase]:
        """Return the phases, with the one at the end."""
        return self.phases + ([] if self.last is None else [self.last])

    def facts(self) -> dict[str, Any]:
        """Return all figures."""
        plan = self._plan
        return {
            "machine": self.at_first,
            "movies": {"height_px": SIZE_PX, "width_px": SIZE_PX, "frames": FRAMES},
            "registrars": list(self._place.registrars),
            "database": "PostgreSQL" if plan.database else "SQLite",
            "settle_s": plan.settle_s,
            "scan_s": plan.scan_s,
            "fills": self._fills,
            "counted": list(COUNTED),
            "growth": growth(self.phases),
            "phases": [phase.as_object() for phase in self.phases],
            "last": None if self.last is None else self.last.as_object(),
        }

    def write(self) -> list[Path]:
        """Write flow.json and flow.png; return their paths."""
        path = self._plan.out / "flow.json"
        write_text(path, json_text.dumps(self.facts(), indent=1, ensure_ascii=False) + "\n")
        picture = write_plot(self.phases, self._plan.out / "flow.png")
        return [path, picture] if picture is not None else [path]


def _check(plan: FlowPlan) -> None:
    if not plan.sizes or list(plan.sizes) != sorted(set(plan.sizes)) or plan.sizes[0] < 0:
        raise NothingToMeasure("--sizes are not rising numbers", hint="Write them as 1000,10000,50000.")
    if any(size < before + plan.exposures for before, size in zip(plan.sizes, plan.sizes[1:], strict=False)):
        raise NothingToMeasure(
            f"the sizes lie closer together than the {plan.exposures} exposures of --exposures",
            hint="The session grows from one size to the next: take sizes further apart, or fewer exposures.",
        )
    if plan.exposures < 2 * plan.block:
        raise NothingToMeasure(
            f"--exposures {plan.exposures} is too few",
            hint=f"The first {plan.block} do not count; take at least {2 * plan.block}.",
        )
    if not plan.registrars or set(plan.registrars) - set(REGISTRARS):
        raise NothingToMeasure("no such registrar", hint="--registrars are relion, scipion or both, with a comma.")
    if "scipion" in plan.registrars and not (plan.scipion / "cryoferry-scipion.json").is_file():
        raise NothingToMeasure(
            f"{plan.scipion} holds no Scipion",
            hint="Make one with `make scipion`, or leave it out with --registrars relion.",
        )
    if plan.work is not None and not plan.work.is_dir():
        raise NothingToMeasure(f"{plan.work} is no folder", hint="Make it, or leave --work out.")
    if not Path("/proc/self/stat").exists():
        raise NothingToMeasure("this system has no /proc", hint="Run the benchmark on Linux.")
    _check_room(plan)


def _check_room(plan: FlowPlan) -> None:
    where = plan.work or plan.out
    while not where.exists():
        where = where.absolute().parent
    needed, free = _BYTES_AN_EXPOSURE * plan.sizes[-1], shutil.disk_usage(where).free
    if needed > free:
        raise NothingToMeasure(
            f"{where} has {free / 1e9:.1f} GB free; {plan.sizes[-1]:,} exposures need about {needed / 1e9:.1f} GB",
            hint="Take smaller --sizes, or another disk with --work.",
        )


def _show_plan(plan: FlowPlan, *, json: bool) -> None:
    wanted = {
        "sizes": list(plan.sizes),
        "exposures_at_each": plan.exposures,
        "seconds_between_movies": plan.pause_s,
        "exposures_at_the_end": plan.last_exposures,
        "per_hour_at_the_end": plan.per_hour,
        "registrars": list(plan.registrars),
        "database": "PostgreSQL" if plan.database else "SQLite",
    }
    if json:
        typer.echo(json_text.dumps(wanted, ensure_ascii=False))
        return
    for name, value in wanted.items():
        typer.echo(f"{name}: {value}")


def _show_results(plan: FlowPlan, flow: _Flow, written: Sequence[Path], *, json: bool) -> None:
    console = Console(stderr=json, highlight=False)  # with --json, stdout is for the object
    if not console.is_terminal or console.width > WIDTH_COLUMNS:
        console.width = WIDTH_COLUMNS
    console.print(
        f"\n{flow.at_first['processor']}, {flow.at_first['cores']} cores; "
        f"{'PostgreSQL' if plan.database else 'SQLite'}; movies of {SIZE_PX} × {SIZE_PX} px, {FRAMES} frames; "
        f"load at the beginning {flow.at_first['load_1_min']:g}\n",
        markup=False,
    )
    console.print(table(flow.all_phases))
    for sentence in sentences(flow.phases, flow.last):
        console.print(sentence, markup=False, soft_wrap=True)
    console.print("\nwrote " + ", ".join(map(str, written)), markup=False, soft_wrap=True)


def sentences(phases: Sequence[Phase], last: Phase | None) -> list[str]:
    """Return what the figures say about the targets."""
    found = []
    everything = [*phases, *([last] if last is not None else [])]
    ratio = growth(phases)
    if ratio is not None:
        sizes = [phase.session_exposures for phase in phases]
        found.append(
            f"\nAn exposure takes {ratio:.2f} times as much CPU time at {max(sizes):,} exposures as at {min(sizes):,} "
            f"(target: at most {TARGET_GROWTH}); scans and alignment do not count."
        )
    for whose in ("agent", "receiver"):
        most = max(phase.peak_bytes[whose] for phase in everything)
        found.append(f"The {whose} took at most {most / 1e6:.0f} MB (target: at most {TARGET_BYTES / 1e6:.0f}).")
    if aside := sum(phase.set_aside for phase in everything):
        found.append(f"{aside} exposures were held or failed.")
    return found
