"""The benchmark's results as tables for people, 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from rich.table import Table

from benchmarks.alignment.runs import AlignRun
from benchmarks.alignment.scaling import Scaling
from benchmarks.alignment.summary import Spread, Summary

SHOWN_ANGSTROM = (40.0, 20.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.5)


def tables(
    summaries: Sequence[Summary], scalings: Sequence[Scaling], first_runs: Sequence[AlignRun]
) -> Iterator[Table]:
    """Yield the tables."""
    yield _cost_table(summaries)
    if any(summary.field_px is not None for summary in summaries):
        yield _error_table(summaries)
    for preset, group in groupby(summaries, key=lambda summary: summary.preset):
        known = [summary for summary in group if summary.frc is not None or summary.mutual_frc]
        if known:
            yield _frc_table(preset, known)
    if any(summary.stage_seconds for summary in summaries):
        yield _stage_table(summaries, first_runs)
    if scalings:
        yield _scaling_table(scalings)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold not italic", box=None, header_style="dim", pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=True)
    return table


def _cost_table(summaries: Sequence[Summary]) -> Table:
    table = _table("Cost", "movies", "program", "runs", "wall s", "spread", "CPU s", "peak GB", "faster", "leaner")
    for summary in summaries:
        against = summary.against_relion
        table.add_row(
            summary.preset[:24],
            summary.program,
            f"{summary.runs}" if not summary.failures else "[red]failed[/red]",
            _number(None if summary.wall_s is None else summary.wall_s.median, 1),
            _spread(summary.wall_s),
            _number(None if summary.cpu_s is None else summary.cpu_s.median, 1),
            _number(summary.peak_bytes and summary.peak_bytes / 1e9, 2),
            _times(against.faster if against else None),
            _times(against.leaner if against else None),
        )
    return table


def _error_table(summaries: Sequence[Summary]) -> Table:
    columns = ("field px", "whole", "local", "of RELION's", "FRC least", "beyond 8 Å")
    table = _table("Error against the truth, mean over seeds", "movies", "program", "seeds", *columns)
    for summary in summaries:
        if summary.field_px is None and summary.frc is None:
            continue
        against = summary.against_relion
        table.add_row(
            summary.preset[:24],
            summary.program,
            f"{len(summary.field_px_by_seed)}",
            _number(summary.field_px, 3),
            _number(summary.whole_frame_px, 3),
            _number(summary.local_px, 3),
            _number(against.field_ratio if against else None, 2),
            _signed(against.least_frc_difference if against else None),
            _signed(against.least_fine_frc_difference if against else None),
        )
    return table


def _frc_table(preset: str, summaries: Sequence[Summary]) -> Table:
    with_truth = any(summary.frc is not None for summary in summaries)
    table = _table(
        f"FRC {'with the noise-free truth' if with_truth else 'with each other'}: {preset}",
        "program",
        "" if with_truth else "with",
    )
    frequencies = next((np.array(one.frc_frequencies) for one in summaries if one.frc_frequencies), np.array([]))
    shown = [angstrom for angstrom in SHOWN_ANGSTROM if len(frequencies) and 1 / angstrom <= frequencies[-1]]
    for angstrom in shown:
        table.add_column(f"{angstrom:g} Å", justify="right")
    for summary in summaries:
        curves = [("", summary.frc)] if summary.frc is not None else list(summary.mutual_frc.items())
        for other, frc in curves:
            at = np.interp([1 / angstrom for angstrom in shown], frequencies, frc or [])
            table.add_row(summary.program, other, *(f"{value:.3f}" for value in at))
    return table


def _stage_table(summaries: Sequence[Summary], first_runs: Sequence[AlignRun]) -> Table:
    with_stages = [summary for summary in summaries if summary.stage_seconds]
    stages = list(dict.fromkeys(stage for summary in with_stages for stage in summary.stage_seconds))
    title = "Seconds of each stage, as programs report them; start: the rest of the wall time"
    walls = [run.wall_s for run in first_runs if run.wall_s is not None]
    if len(walls) > 1:
        title += f"\nA tiny movie, nothing compiled yet: {walls[0]:.1f} s; once more: {walls[1]:.1f} s"
    table = _table(title, "movies", "program", *stages, "start")
    table.min_width = len(max(title.splitlines(), key=len))
    for summary in with_stages:
        rest = (summary.wall_s.median if summary.wall_s else 0.0) - sum(summary.stage_seconds.values())
        seconds = [_number(summary.stage_seconds.get(stage), 2) for stage in stages]
        table.add_row(summary.preset[:24], summary.program, *seconds, _number(rest, 2))
    return table


def _scaling_table(scalings: Sequence[Scaling]) -> Table:
    table = _table("Cost against size: seconds grow as amount ** exponent", "program", "along", "exponent", "seconds")
    for one in scalings:
        pairs = zip(one.amounts, one.seconds, strict=True)
        unit = 1e6 if one.along == "pixels" else 1
        shown = "  ".join(f"{amount / unit:g}{' M' if unit > 1 else ''}: {seconds:.2f}" for amount, seconds in pairs)
        table.add_row(one.program, one.along, f"{one.exponent:.2f}", shown)
    return table


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ×"


def _spread(spread: Spread | None) -> str:
    return "" if spread is None or spread.least == spread.most else f"{spread.least:.1f} to {spread.most:.1f}"
