"""What `cryoferry bench ctf` does: micrographs, estimators, table, JSON and plots."""

from __future__ import annotations

import json as json_text
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.ctf.answers import CtfQuestion
from benchmarks.ctf.ctffind import PROGRAM
from benchmarks.ctf.images import ImageReport, ask_about_images
from benchmarks.ctf.plots import write_plots
from benchmarks.ctf.runs import PROGRAMS, Asking, CtfRun, run_set
from benchmarks.ctf.sets import SETS, MicrographSet, find_set
from benchmarks.ctf.summary import CtfSummary, summarize
from benchmarks.ctf.tables import WIDTH_COLUMNS, images_table, table
from benchmarks.errors import NothingToMeasure
from benchmarks.machine import machine
from preprocess.outputs.whole_files import write_text

HOW_TO_GET = "it is part of cisTEM: cistem.org, or built from github.com/timothygrant80/cisTEM."


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfPlan:
    """What a user wants measured: sets by name (all without names), or images of their own."""

    sets: tuple[str, ...]
    seeds: tuple[int, ...]
    images: tuple[Path, ...]
    question: CtfQuestion | None
    programs: tuple[str, ...]
    threads: tuple[int, ...]
    cache: Path | None
    out: Path


def run_ctf_benchmark(plan: CtfPlan, *, dry_run: bool, json: bool) -> None:
    """Ask the programs, print and write the results.

    Raises
    ------
    NothingToMeasure
        A set or a program is unknown or missing.
    """
    sets = [] if plan.images else [find_set(name) for name in plan.sets or SETS]
    asking = Asking(programs=_programs(plan.programs), threads=plan.threads, cache=plan.cache)
    if dry_run:
        _say_plan(plan, sets, asking)
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    runs: list[CtfRun] = []
    for one in sets:
        for run in run_set(one, plan.seeds, asking):
            runs.append(run)
            console.print(_line(run), style="dim", markup=False)
    reports = list(ask_about_images(plan.images, plan.question, asking)) if plan.question is not None else []
    plan.out.mkdir(parents=True, exist_ok=True)
    summaries = summarize(runs)
    plots = write_plots(runs, plan.out) if runs else []
    document = _document(plan, runs, summaries, reports)
    path = plan.out / "ctf.json"
    write_text(path, json_text.dumps(document, indent=1) + "\n")
    if json:
        typer.echo(json_text.dumps(document))
        return
    shown = Console(width=WIDTH_COLUMNS, highlight=False)
    if summaries:
        shown.print(table(summaries))
    if reports:
        shown.print(images_table(reports))
    if PROGRAM not in asking.programs and not plan.programs:
        console.print(f"{PROGRAM} is not on the PATH; {HOW_TO_GET}", markup=False)
    console.print(f"All results: {', '.join(str(file) for file in (path, *plots))}", markup=False)


def _programs(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the programs to ask: those wanted, or without a wish all that are there."""
    for name in wanted:
        if name not in PROGRAMS:
            raise NothingToMeasure(f"no program is called {name}", hint=f"Programs: {', '.join(PROGRAMS)}.")
    missing = PROGRAM if shutil.which(PROGRAM) is None else ""
    if missing in wanted:
        raise NothingToMeasure(f"{missing} is not on the PATH", hint=f"{HOW_TO_GET} Or give --programs cryoferry.")
    return tuple(name for name in wanted or PROGRAMS if name != missing)


def _say_plan(plan: CtfPlan, sets: Sequence[MicrographSet], asking: Asking) -> None:
    for one in sets:
        typer.echo(f"{one.name}: {one.about}; {len(plan.seeds)} images of {one.side_px} x {one.side_px} px")
    for image in plan.images:
        typer.echo(f"{image}")
    threads = " and ".join(f"{count}" for count in asking.threads)
    typer.echo(f"programs: {', '.join(asking.programs)}, {threads} threads each")


def _line(run: CtfRun) -> str:
    """Return a line about a micrograph, while the benchmark runs."""
    parts = []
    for answer, judged in zip(run.answers, run.judgements, strict=True):
        if answer.failure:
            parts.append(f"{answer.method} failed")
            continue
        off = "" if judged is None else f" {judged.defocus_error_angstrom:+.0f} Å"
        parts.append(f"{answer.method}{off}{'' if answer.reliable else ' (unreliable)'}")
    return f"{run.set_name} {run.seed}: {', '.join(parts)}"


def _document(
    plan: CtfPlan, runs: Sequence[CtfRun], summaries: Sequence[CtfSummary], reports: Sequence[ImageReport]
) -> dict[str, Any]:
    return {
        "machine": machine(),
        "seeds": plan.seeds,
        "summaries": [asdict(one) for one in summaries],
        "runs": [asdict(run) for run in runs],
        "images": [asdict(report) for report in reports],
    }
