"""The tables of `cryoferry bench transfer`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.transfer.summary import Group, Row


def tables(groups: Sequence[Group]) -> list[Table]:
    """Return one table for each payload and default congestion control."""
    return [_table(group) for group in groups]


def _table(group: Group) -> Table:
    title = group.payload
    if group.congestion_control:
        title += f", both hosts' default {group.congestion_control}"
    if group.limit_bytes_per_s:
        title += f"; iperf3 gets {group.limit_bytes_per_s / 1e6:,.1f} MB/s"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("path")
    for column in ("MB/s", "least–most", "cryoferry is", "start s", "CPU s/GB", "near MB", "far MB"):
        table.add_column(column, justify="right")
    table.add_column("checks")
    for row in group.rows:
        table.add_row(*_cells(row, group.ours), style="bold" if row.is_ours else "")
    return table


def _cells(row: Row, ours: Row | None) -> list[str]:
    if row.rates is None:
        return [row.path, "failed" if row.failure else "too quick", *[""] * 6, row.verifies]
    median, least, most = (f"{rate / 1e6:,.{0 if rate >= 1e8 else 1}f}" for rate in row.rates)
    ratio = f"{ours.rate / row.rate:,.3g}×" if ours is not None and row.rate else ""
    return [
        row.path,
        f"{'~' if row.stopped else ''}{median}",
        f"{least}–{most}" if row.runs > 1 else "",
        "" if row.is_ours else ratio,
        f"{row.start_s:.2f}",
        f"{row.cpu_s_per_gb:.2f}" if row.cpu_s_per_gb is not None else "",
        f"{row.near_peak_bytes / 1e6:,.0f}" if row.near_peak_bytes else "",
        f"{row.far_peak_bytes / 1e6:,.0f}" if row.far_peak_bytes is not None else "",
        "BYTES WRONG" if row.wrong else row.verifies,
    ]
