"""The picture of `cryoferry bench flow`: CPU an exposure, memory and latency over the length of the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.chart import GREY, Canvas, Panel, round_ticks
from benchmarks.flow.figures import AGENT_PER_EXPOSURE, Phase
from benchmarks.flow.process_usage import AGENT, FOLLOWER, RECEIVER
from preprocess.outputs.lettering import Colour

_WIDTH, _HEIGHT = 1180, 420
_PANEL, _TOP, _BOTTOM = 270, 104, 360
_COLOURS: dict[str, Colour] = {
    "agent": (0, 114, 178),
    "receiver": (213, 94, 0),
    "follower": (0, 158, 115),
    "together": (32, 36, 40),
    "median": (0, 114, 178),
    "95 %": (86, 180, 233),
}
Line = tuple[str, Callable[[Phase], float | None]]


def write_plot(phases: Sequence[Phase], path: Path) -> Path | None:
    """Draw the phases of different lengths of the session; None if there are fewer than two."""
    by_size = sorted(phases, key=lambda phase: phase.session_exposures)
    if len({phase.session_exposures for phase in by_size}) < 2:
        return None
    canvas = Canvas(_WIDTH, _HEIGHT)
    cpu: list[Line] = [
        ("together", lambda phase: phase.counted_ms()),
        ("agent", lambda phase: phase.cpu_ms(AGENT_PER_EXPOSURE)),
        ("receiver", lambda phase: phase.cpu_ms(RECEIVER)),
        ("follower", lambda phase: phase.cpu_ms(FOLLOWER)),
    ]
    memory: list[Line] = [
        (name, _memory(whose)) for name, whose in (("agent", AGENT), ("receiver", RECEIVER), ("follower", FOLLOWER))
    ]
    latency: list[Line] = [
        ("median", lambda phase: phase.latency_s(0.5)),
        ("95 %", lambda phase: phase.latency_s(0.95)),
    ]
    panels = (("CPU time an exposure", "ms", cpu), ("Memory, at most", "MB", memory))
    for index, (title, unit, lines) in enumerate((*panels, ("From finished to registered", "s", latency))):
        left = 90 + index * (_PANEL + 110)
        _draw(canvas, by_size, title, unit, lines, left)
    canvas.save(path)
    return path


def _memory(whose: str) -> Callable[[Phase], float | None]:
    return lambda phase: phase.peak_bytes[whose] / 1e6 if whose in phase.peak_bytes else None


def _draw(canvas: Canvas, phases: Sequence[Phase], title: str, unit: str, lines: Sequence[Line], left: float) -> None:
    found = {
        name: [(phase.session_exposures, value) for phase in phases if (value := of(phase)) is not None]
        for name, of in lines
    }
    found = {name: points for name, points in found.items() if points}
    most = max([value for points in found.values() for _, value in points], default=1.0) or 1.0
    sizes = [phase.session_exposures for phase in phases]
    span = (min(sizes), max(sizes))
    box = (left, _TOP, left + _PANEL, _BOTTOM)
    y_panel = Panel(canvas, box, (0, 1), (0, 1.08 * most))
    y_panel.y_ticks(round_ticks(1.08 * most))
    kind = _LogX if span[0] > 0 else Panel  # an empty session has no place on a logarithmic axis
    panel = kind(canvas, box, span, (0, 1.08 * most), logarithmic=False)
    panel.frame(title, "exposures in the session", unit)
    panel.x_ticks(sorted(set(sizes)), "{:,.0f}".format)
    x = left
    for name, points in found.items():
        panel.curve(points, _COLOURS[name], dots=True)
        canvas.box(x, _TOP - 62, x + 14, _TOP - 54, _COLOURS[name])
        canvas.text(x + 19, _TOP - 58, name, size=11, colour=GREY)
        x += 26 + 7.2 * len(name) + 12


class _LogX(Panel):
    """A panel whose x axis alone is logarithmic."""

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies on the canvas."""
        across = Panel(self.canvas, self.box, self.x_range, (1, 10), logarithmic=True).place(x, 1)[0]
        return across, Panel(self.canvas, self.box, (0, 1), self.y_range).place(0, y)[1]
