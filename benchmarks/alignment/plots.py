"""The benchmark's pictures: cost, error by seed, correlation with the truth, growth with size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.alignment.scaling import Scaling
from benchmarks.alignment.summary import Summary
from benchmarks.chart import GREY, Box, Canvas, Panel, colour_of, round_ticks

_WIDTH = 980
_COLUMNS = 2
_PANEL_HEIGHT = 300
_HEAD = 84


def write_plots(summaries: Sequence[Summary], scalings: Sequence[Scaling], folder: Path) -> list[Path]:
    """Write those pictures for which there are figures; return their paths."""
    written = []
    with_time = [summary for summary in summaries if summary.wall_s is not None]
    with_error = [summary for summary in summaries if summary.field_px_by_seed]
    with_frc = [summary for summary in summaries if summary.frc is not None]
    for name, draw, chosen in (
        ("align_cost.png", _cost, with_time),
        ("align_error.png", _errors, with_error),
        ("align_frc.png", _correlations, with_frc),
    ):
        if chosen:
            draw(chosen).save(folder / name)
            written.append(folder / name)
    if scalings:
        _scaling(scalings).save(folder / "align_scaling.png")
        written.append(folder / "align_scaling.png")
    return written


def _grouped(summaries: Sequence[Summary]) -> list[tuple[str, list[Summary]]]:
    return [(preset, list(group)) for preset, group in groupby(summaries, key=lambda summary: summary.preset)]


def _programs(summaries: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(summary.program for summary in summaries))


def _cost(summaries: Sequence[Summary]) -> Canvas:
    """Draw wall time on the left and memory on the right, a row of bars for each preset."""
    groups = _grouped(summaries)
    row_height, gap = 26, 52
    height = _HEAD + sum(row_height * len(group) + gap for _, group in groups)
    canvas = Canvas(_WIDTH, height)
    canvas.text(40, 34, "Time and memory", size=20)
    canvas.text(40, 62, "median of the runs, lines from least to most; shorter is better", colour=GREY)
    y = float(_HEAD)
    for preset, group in groups:
        canvas.text(40, y + 14, preset, size=15)
        canvas.text(170, y + 14, "wall time", size=11, colour=GREY)
        canvas.text(630, y + 14, "peak memory", size=11, colour=GREY)
        y += 28
        slowest = max(summary.wall_s.most for summary in group if summary.wall_s is not None)
        largest = max(summary.peak_bytes or 0 for summary in group) or 1
        for summary in group:
            canvas.text(160, y + row_height / 2, summary.program, anchor="rm")
            _bars(canvas, summary, y, row_height, slowest, largest)
            y += row_height
        y += gap - 28
    return canvas


def _bars(canvas: Canvas, summary: Summary, y: float, height: float, slowest: float, largest: float) -> None:
    if summary.wall_s is None:
        return
    colour, middle = colour_of(summary.program), y + height / 2
    end = 170 + 360 * summary.wall_s.median / slowest
    canvas.box(170, y + 4, end, y + height - 4, colour)
    ends = [170 + 360 * value / slowest for value in (summary.wall_s.least, summary.wall_s.most)]
    if ends[1] - ends[0] > 2:
        canvas.line([(ends[0], middle), (ends[1], middle)], GREY, 1.5)
    canvas.text(max(end, ends[1]) + 8, middle, f"{summary.wall_s.median:.1f} s", size=12)
    memory = summary.peak_bytes or 0
    end = 630 + 240 * memory / largest
    canvas.box(630, y + 4, end, y + height - 4, colour)
    canvas.text(end + 8, middle, f"{memory / 1e9:.2f} GB", size=12)


def _panels(count: int, title: str, about: str, programs: Sequence[str]) -> tuple[Canvas, list[Box]]:
    """Return a canvas with title and legend, and where each of its panels lies: left, top, right, bottom."""
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    width = _WIDTH if columns > 1 else 620
    canvas = Canvas(width, _HEAD + 30 + rows * _PANEL_HEIGHT)
    canvas.text(40, 34, title, size=20)
    canvas.text(40, 62, about, colour=GREY)
    canvas.legend(programs, 40, 88)
    boxes: list[Box] = []
    for index in range(count):
        left = 70 + (index % columns) * (width - 20) / columns
        top = _HEAD + 66 + (index // columns) * _PANEL_HEIGHT
        boxes.append((left, top, left + (width - 20) / columns - 100, top + _PANEL_HEIGHT - 110))
    return canvas, boxes


def _errors(summaries: Sequence[Summary]) -> Canvas:
    groups = _grouped(summaries)
    about = "root mean square for each axis, on a 13 x 13 grid and in all frames; lower is better"
    canvas, boxes = _panels(len(groups), "Error of the motion, by seed", about, _programs(summaries))
    for (preset, group), box in zip(groups, boxes, strict=True):
        most = 1.08 * max(value for summary in group for value in summary.field_px_by_seed.values())
        seeds = list(dict.fromkeys(seed for summary in group for seed in summary.field_px_by_seed))
        panel = Panel(canvas, box, (-0.5, len(seeds) - 0.5), (0.0, most))
        panel.y_ticks(round_ticks(most))
        panel.frame(preset, "seed", "px")
        panel.x_ticks(list(range(len(seeds))), _names(seeds))
        for summary in group:
            points = [(seeds.index(seed), value) for seed, value in summary.field_px_by_seed.items()]
            panel.curve(points, colour_of(summary.program), dots=True, width=0)
    return canvas


def _correlations(summaries: Sequence[Summary]) -> Canvas:
    groups = _grouped(summaries)
    about = "Fourier ring correlation of the weighted micrograph, mean over seeds; higher is better"
    canvas, boxes = _panels(len(groups), "Correlation with the noise-free truth", about, _programs(summaries))
    for (preset, group), box in zip(groups, boxes, strict=True):
        frequencies = group[0].frc_frequencies or [0.0, 1.0]
        panel = Panel(canvas, box, (0.0, frequencies[-1]), (0.0, 1.0))
        panel.y_ticks([0.0, 0.25, 0.5, 0.75, 1.0])
        panel.frame(preset, "resolution, Å", "FRC")
        shown = [value for value in (20, 10, 6, 5, 4, 3, 2.5, 2, 1.7) if 1 / value <= frequencies[-1]]
        panel.x_ticks([1 / value for value in shown], lambda value: f"{1 / value:.2g}")
        for summary in group:
            values = [max(0.0, value) for value in summary.frc or []]
            panel.curve(list(zip(frequencies, values, strict=True)), colour_of(summary.program))
    return canvas


def _scaling(scalings: Sequence[Scaling]) -> Canvas:
    kinds = list(dict.fromkeys(one.along for one in scalings))
    about = "both axes logarithmic; the figure is the exponent, 1 is linear"
    programs = list(dict.fromkeys(one.program for one in scalings))
    canvas, boxes = _panels(len(kinds), "Cost against size", about, programs)
    for kind, box in zip(kinds, boxes, strict=True):
        own = [one for one in scalings if one.along == kind]
        amounts = sorted({amount for one in own for amount in one.amounts})
        seconds = [value for one in own for value in one.seconds]
        low, high = 10 ** math.floor(math.log10(min(seconds))), 10 ** math.ceil(math.log10(max(seconds)))
        panel = Panel(canvas, box, (amounts[0] * 0.85, amounts[-1] * 1.6), (low, high), logarithmic=True)
        panel.y_ticks([low * 10**power for power in range(round(math.log10(high / low)) + 1)])
        panel.frame(kind, "Mpx in a frame" if kind == "pixels" else "frames", "seconds")
        panel.x_ticks(amounts, _megapixels if kind == "pixels" else "{:g}".format)
        for one in own:
            panel.curve(list(zip(one.amounts, one.seconds, strict=True)), colour_of(one.program), dots=True)
            x, y = panel.place(one.amounts[-1], one.seconds[-1])
            canvas.text(x + 10, y, f"{one.exponent:.2f}", size=12, colour=colour_of(one.program))
    return canvas


def _megapixels(pixels: float) -> str:
    return f"{pixels / 1e6:.2g}"


def _names(seeds: Sequence[str]) -> Callable[[float], str]:
    return lambda place: seeds[round(place)]
