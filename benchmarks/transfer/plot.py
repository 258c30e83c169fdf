"""The picture of `cryoferry bench transfer`: a bar for each path, iperf3's rate as a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.chart import GREY, Canvas, Panel, colour_of, round_ticks
from benchmarks.transfer.paths.catalogue import OURS
from benchmarks.transfer.summary import Group, Row

_WIDTH, _ROW, _LEFT, _RIGHT, _ABOVE, _BELOW = 900, 26, 230, 90, 64, 52
_OTHERS = (168, 174, 180)


def write_plot(groups: Sequence[Group], path: Path) -> Path | None:
    """Draw all groups below one another; None if there is nothing to draw."""
    shown = [(group, [row for row in group.rows if row.rates is not None]) for group in groups]
    shown = [(group, rows) for group, rows in shown if rows]
    if not shown:
        return None
    canvas = Canvas(_WIDTH, sum(_ABOVE + _BELOW + _ROW * len(rows) for _, rows in shown))
    top = 0.0
    for group, rows in shown:
        _draw(canvas, group, rows, top)
        top += _ABOVE + _BELOW + _ROW * len(rows)
    canvas.save(path)
    return path


def _draw(canvas: Canvas, group: Group, rows: Sequence[Row], top: float) -> None:
    most = max([row.rates[2] / 1e6 for row in rows if row.rates] + [(group.limit_bytes_per_s or 0) / 1e6])
    box = (_LEFT, top + _ABOVE, _WIDTH - _RIGHT, top + _ABOVE + _ROW * len(rows))
    panel = Panel(canvas, box, (0, 1.02 * most), (0, len(rows)))
    title = group.payload + (f", hosts' default {group.congestion_control}" if group.congestion_control else "")
    canvas.text(24, top + 24, title, size=15)
    for index, row in enumerate(rows):
        assert row.rates is not None
        middle = len(rows) - index - 0.5
        left, upper = panel.place(0, middle + 0.32)
        right, lower = panel.place(row.rate / 1e6, middle - 0.32)
        canvas.box(left, upper, max(right, left + 1), lower, colour_of(OURS) if row.path.startswith(OURS) else _OTHERS)
        y = panel.place(0, middle)[1]
        if row.runs > 1:
            canvas.line([panel.place(row.rates[1] / 1e6, middle), panel.place(row.rates[2] / 1e6, middle)], GREY, 2)
        canvas.text(_LEFT - 8, y, row.path, anchor="rm")
        canvas.text(_WIDTH - 24, y, f"{'~' if row.stopped else ''}{row.rate / 1e6:,.3g}", size=12, anchor="rm")
    if group.limit_bytes_per_s:
        x = panel.place(group.limit_bytes_per_s / 1e6, 0)[0]
        canvas.line([(x, box[1] - 6), (x, box[3])], GREY, 1.5)
        canvas.text(x, box[1] - 14, "iperf3", size=11, colour=GREY, anchor="mm")
    panel.frame("", "MB/s, start-up apart", "")
    panel.x_ticks(round_ticks(most))
