"""The table of `cryoferry bench flow`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.flow.figures import AGENT_PER_EXPOSURE, Phase
from benchmarks.flow.process_usage import AGENT, ALIGNMENT, FOLLOWER, RECEIVER

_CPU = {"agent": AGENT_PER_EXPOSURE, "receiver": RECEIVER, "follower": FOLLOWER}
_MEMORY = {"agent": AGENT, "receiver": RECEIVER, "follower": FOLLOWER}


def table(phases: Sequence[Phase]) -> Table:
    """Return a table with a row for each phase; it fits into 118 columns."""
    shown = Table(title="An exposure, by the length of its session", title_justify="left", title_style="bold")
    shown.box, shown.pad_edge = None, False
    for heading in ("exposures\nbefore", "sent", "an\nhour"):
        shown.add_column(heading, justify="right")
    for heading in (*(f"{name}\nCPU ms" for name in _CPU), "together\nCPU ms", "a scan\nCPU ms", "alignment\nCPU ms"):
        shown.add_column(heading, justify="right")
    for heading in (*(f"{name}\nMB" for name in _MEMORY), "latency s\nmedian", "latency s\n95 %"):
        shown.add_column(heading, justify="right")
    for phase in phases:
        shown.add_row(*_cells(phase))
    return shown


def _cells(phase: Phase) -> list[str]:
    return [
        f"{phase.session_exposures:,}",
        f"{phase.exposures}",
        f"{phase.per_hour:,.0f}",
        *(_number(phase.cpu_ms(whose)) for whose in _CPU.values()),
        _number(phase.counted_ms()),
        _number(1e3 * phase.idle.scan_cpu_s),
        _number(phase.cpu_ms(ALIGNMENT)),
        *(_number(_megabytes(phase.peak_bytes.get(whose)), 0) for whose in _MEMORY.values()),
        _number(phase.latency_s(0.5), 2),
        _number(phase.latency_s(0.95), 2),
    ]


def _megabytes(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / 1e6


def _number(value: float | None, decimals: int = 1) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"
