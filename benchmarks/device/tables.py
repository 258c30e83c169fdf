"""What was measured on the device, and movies an hour, as tables for people, 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from benchmarks.alignment.summary import Summary
from benchmarks.alignment.sustained import Sustained
from benchmarks.device.figures import DeviceFigures


def device_tables(
    figures: Sequence[DeviceFigures], sustained: Sequence[Sustained], summaries: Sequence[Summary]
) -> Iterator[Table]:
    """Yield the tables."""
    for one in figures:
        yield _stage_table(one)
    if sustained:
        yield _sustained_table(sustained, summaries)


def _stage_table(figures: DeviceFigures) -> Table:
    copying = figures.copy_bytes_per_s
    kinds = figures.ms_by_kind()
    title = (
        f"{figures.movie} on {figures.device}, {figures.name}: times by the device's events, one movie"
        f"\nplain copying: {copying['on_device'] / 1e9:.0f} GB/s on the device, up {copying['upload'] / 1e9:.1f},"
        f" down {copying['download'] / 1e9:.1f}; memory peak {figures.peak_bytes / 1e9:.2f} GB"
        f" of {figures.total_bytes / 1e9:.0f}"
        f"\ntransfer {kinds['transfer']:.1f} ms, decode {kinds['decode']:.1f} ms, the rest {kinds['compute']:.1f} ms;"
        f" file to files {figures.seconds_per_movie:.2f} s"
    )
    table = _table(title, "stage", "kind", "ms", "GB", "GB/s", "of copying", "GFLOP", "TFLOP/s")
    for stage in figures.stages:
        table.add_row(
            stage.stage,
            stage.kind,
            f"{stage.ms:.2f}",
            f"{stage.bytes / 1e9:.3f}",
            _number(stage.bytes_per_s, 1e9, 0),
            "" if stage.of_copying is None else f"{stage.of_copying:.0%}",
            f"{stage.flop / 1e9:.1f}",
            _number(stage.flop_per_s, 1e12, 2),
        )
    return table


def _sustained_table(sustained: Sequence[Sustained], summaries: Sequence[Summary]) -> Table:
    names = {one.preset for one in sustained}
    title = (
        "Movies an hour, file to written files; of others: what their wall time for one movie allows"
        "\nAfter the first time a file comes from the page cache: this measures no disk's reading"
    )
    table = _table(title, "movies", "program", "in a row", "files", "movies/h", "MB/s read", "CPU s", "peak GB")
    for one in sustained:
        table.add_row(
            one.preset[:24],
            f"{one.process} {one.device}",
            f"{one.movies}" if one.failure is None else "[red]failed[/red]",
            f"{one.distinct_files}",
            _number(one.movies_per_hour, 1, 0),
            _number(one.read_bytes_per_s, 1e6, 0),
            _number(one.cpu_s, 1, 1),
            _number(one.peak_bytes, 1e9, 2),
        )
    for summary in summaries:
        if summary.preset in names and summary.wall_s is not None:
            rate = 3600 / summary.wall_s.median
            table.add_row(summary.preset[:24], summary.program, "one by one", "", f"{rate:.0f}", "", "", "")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold not italic", box=None, header_style="dim", pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=True)
    table.min_width = max(len(line) for line in title.splitlines())
    return table


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"
