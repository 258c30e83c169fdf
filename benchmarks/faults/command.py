"""What `cryoferry bench faults` does: movies with faults, runs, table and JSON."""

from __future__ import annotations

import json as json_text
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.errors import NothingToMeasure
from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.fault import Fault
from benchmarks.faults.runs import RELION_PROGRAM, FaultRun, run_fault
from benchmarks.machine import machine
from preprocess.outputs.whole_files import write_text

WIDTH_COLUMNS = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultsPlan:
    """What a user wants tried: faults whose kind or name contains one of the words, all without words."""

    words: tuple[str, ...]
    seeds: tuple[int, ...]
    relion: bool
    out: Path


def run_faults_benchmark(plan: FaultsPlan, *, dry_run: bool, json: bool) -> None:
    """Try the faults, print and write the results.

    Raises
    ------
    NothingToMeasure
        No fault has one of the words, or RELION is wanted and not there.
    """
    faults = _chosen(plan.words)
    if plan.relion and shutil.which(RELION_PROGRAM) is None:
        raise NothingToMeasure(
            f"{RELION_PROGRAM} is not on the PATH",
            hint="Install it (Debian and Ubuntu: apt-get install relion), or give --no-relion.",
        )
    if dry_run:
        for fault in faults:
            typer.echo(f"{fault.kind}: {fault.name}")
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    runs = []
    for fault in faults:
        console.print(f"{fault.kind}: {fault.name}", style="dim", markup=False)
        runs += [run_fault(fault, seed, plan.out / "work", with_relion=plan.relion) for seed in plan.seeds]
    document = {"machine": machine(), "seeds": plan.seeds, "runs": [asdict(run) for run in runs]}
    path = plan.out / "faults.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json_text.dumps(document, indent=1) + "\n")
    if json:
        typer.echo(json_text.dumps(document))
    else:
        Console(width=WIDTH_COLUMNS, highlight=False).print(table(runs))
        console.print(f"All results: {path}", markup=False)


def _chosen(words: Sequence[str]) -> list[Fault]:
    chosen = [each for each in FAULTS if not words or any(word in f"{each.kind}: {each.name}" for word in words)]
    if not chosen:
        raise NothingToMeasure("no fault has such a name", hint="`cryoferry bench faults --dry-run` lists them.")
    return chosen


def table(runs: Iterable[FaultRun]) -> Table:
    """Return a row for each fault: medians over seeds, and all warnings."""
    shown = Table(
        title="Error of the shifts, px; medians over seeds",
        title_justify="left",
        title_style="bold not italic",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in ("kind", "fault"):
        shown.add_column(name, no_wrap=True)
    for name in ("RELION", "cryoferry"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("warnings of cryoferry")
    by_fault: dict[tuple[str, str], list[FaultRun]] = {}
    for run in runs:
        by_fault.setdefault((run.kind, run.name), []).append(run)
    for (kind, name), same in by_fault.items():
        warnings = dict.fromkeys(code for run in same for code in run.warnings)
        errors = (_median(run.relion_error_px for run in same), _median(run.error_px for run in same))
        refusals = dict.fromkeys(run.refusal.partition(": ")[2] for run in same if run.refusal)
        shown.add_row(kind, name, *errors, ", ".join([*warnings, *refusals]))
    return shown


def _median(errors: Iterable[Any]) -> str:
    known = [error for error in errors if error is not None]
    return f"{median(known):.3f}" if known else "none"
