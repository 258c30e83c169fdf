"""The benchmark's pictures: errors by set, stated against real errors, and what reliability is decided by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chart import COLOURS, GREY, INK, Box, Canvas, Panel
from benchmarks.ctf.ctffind import PROGRAM
from benchmarks.ctf.own import NAME
from benchmarks.ctf.runs import CtfRun
from benchmarks.ctf.summary import Case, cases, is_wrong

_WIDTH, _COLUMNS, _PANEL_HEIGHT, _HEAD = 980, 2, 270, 84
_ERRORS_PERCENT = (0.003, 100.0)
_SIGMAS = (0.5, 3000.0)
_SIGNIFICANCES, _MARGINS = (0.5, 300.0), (0.5, 5000.0)
_RIGHT, _WRONG, _NOTHING = COLOURS[NAME], (213, 94, 0), (120, 120, 120)


def write_plots(runs: Sequence[CtfRun], folder: Path) -> list[Path]:
    """Write those pictures for which there are figures; return their paths."""
    own = next((answer.method for answer in runs[0].answers if answer.method.startswith(NAME)), None)
    with_truth = [run for run in runs if run.truth.has_rings and run.to_be_found]
    written = []
    if with_truth:
        written.append(_save(_errors(with_truth), folder / "ctf_errors.png"))
    if own is not None:
        if with_truth:
            written.append(_save(_stated(cases(with_truth, own)), folder / "ctf_stated.png"))
        written.append(_save(_confidence(cases(runs, own)), folder / "ctf_confidence.png"))
    return written


def _save(canvas: Canvas, path: Path) -> Path:
    canvas.save(path)
    return path


def _errors(runs: Sequence[CtfRun]) -> Canvas:
    """Draw for each set how many images have at most which error, a line for each program."""
    names = list(dict.fromkeys(run.set_name for run in runs))
    methods = _one_method_a_program(runs)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width = _WIDTH if columns > 1 else 620
    canvas = Canvas(width, _HEAD + 60 + rows * _PANEL_HEIGHT)
    canvas.text(40, 34, "Error of the mean defocus", size=20)
    canvas.text(
        40,
        62,
        "share of the images whose error is at most this, in % of the defocus; further up and left is better",
        colour=GREY,
    )
    canvas.legend([method.rpartition("-")[0] for method in methods], 40, 88)
    for index, name in enumerate(names):
        left = 70 + (index % columns) * (width - 20) / columns
        top = _HEAD + 74 + (index // columns) * _PANEL_HEIGHT
        box = (left, top, left + (width - 20) / columns - 100, top + _PANEL_HEIGHT - 110)
        _distribution(canvas, box, name, [run for run in runs if run.set_name == name], methods)
    return canvas


def _distribution(canvas: Canvas, box: Box, name: str, runs: Sequence[CtfRun], methods: Sequence[str]) -> None:
    low, high = (math.log10(value) for value in _ERRORS_PERCENT)
    panel = Panel(canvas, box, (low, high), (0.0, 100.0))
    panel.y_ticks([0, 25, 50, 75, 100])
    panel.frame(f"{name}: {len(runs)} images", "error, %", "%")
    panel.x_ticks([-2, -1, 0, 1, 2], lambda power: f"{10**power:g}")
    for method in methods:
        errors = sorted(judged.defocus_error_percent for _, _, judged in cases(runs, method) if judged is not None)
        steps = [(low, 0.0)]
        for index, error in enumerate(errors):
            place = _clipped(math.log10(max(error, 1e-9)), (low, high))
            steps += [(place, 100 * index / len(runs)), (place, 100 * (index + 1) / len(runs))]
        panel.curve([*steps, (high, steps[-1][1])], _colour(method), width=2.5)


def _stated(all_cases: Sequence[Case]) -> Canvas:
    """Draw each image's real error against the one that is stated."""
    canvas = Canvas(620, 560)
    canvas.text(40, 34, "Stated and real error of the mean defocus", size=20)
    canvas.text(40, 62, "cryoferry; of errors that are stated rightly, two thirds lie below the line", colour=GREY)
    _key(canvas, ("called reliable", _RIGHT), ("called unreliable", _NOTHING))
    panel = Panel(canvas, (90, 150, 580, 490), _SIGMAS, _SIGMAS, logarithmic=True)
    ticks = [1, 10, 100, 1000]
    panel.y_ticks(ticks)
    panel.frame("", "stated error, Å", "real error, Å")
    panel.x_ticks(ticks)
    panel.curve([(_SIGMAS[0], _SIGMAS[0]), (_SIGMAS[1], _SIGMAS[1])], INK, width=1)
    for reliable in (False, True):
        for _, answer, judged in all_cases:
            if answer.reliable == reliable and judged is not None and answer.sigma_angstrom is not None:
                x, y = _clipped(answer.sigma_angstrom, _SIGMAS), _clipped(abs(judged.defocus_error_angstrom), _SIGMAS)
                canvas.dot(*panel.place(x, y), 4, _RIGHT if reliable else _NOTHING)
    return canvas


def _confidence(all_cases: Sequence[Case]) -> Canvas:
    """Draw what reliability is decided by: significance of the rings, margin over the best other defocus."""
    canvas = Canvas(620, 560)
    canvas.text(40, 34, "Significance and margin", size=20)
    canvas.text(
        40, 62, "cryoferry; larger dots are called reliable; what is beyond an axis lies on its end", colour=GREY
    )
    _key(canvas, ("right", _RIGHT), ("wrong", _WRONG), ("nothing to find", _NOTHING))
    panel = Panel(canvas, (90, 150, 580, 490), _SIGNIFICANCES, _MARGINS, logarithmic=True)
    panel.y_ticks([1, 10, 100, 1000])
    panel.frame("", "significance of the rings", "margin")
    panel.x_ticks([1, 3, 10, 30, 100])
    for colour in (_NOTHING, _RIGHT, _WRONG):
        for case in all_cases:
            _, answer, _ = case
            if _kind(case) == colour and answer.significance is not None and answer.margin is not None:
                x, y = _clipped(answer.significance, _SIGNIFICANCES), _clipped(answer.margin, _MARGINS)
                canvas.dot(*panel.place(x, y), 5 if answer.reliable else 4, colour)
    return canvas


def _kind(case: Case) -> tuple[int, int, int]:
    run = case[0]
    if not is_wrong(case):
        return _RIGHT
    return _WRONG if run.to_be_found else _NOTHING


def _key(canvas: Canvas, *entries: tuple[str, tuple[int, int, int]]) -> None:
    x = 40.0
    for name, colour in entries:
        canvas.dot(x + 6, 94, 5, colour)
        canvas.text(x + 18, 94, name)
        x += 18 + 8 * len(name) + 30


def _clipped(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _one_method_a_program(runs: Sequence[CtfRun]) -> list[str]:
    methods = [answer.method for answer in runs[0].answers]
    return list({method.rpartition("-")[0]: method for method in reversed(methods)}.values())[::-1]


def _colour(method: str) -> tuple[int, int, int]:
    return COLOURS[PROGRAM if method.startswith(PROGRAM) else NAME]
