"""The benchmark's results as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from benchmarks.ctf.images import ImageReport
from benchmarks.ctf.summary import CtfSummary

WIDTH_COLUMNS = 140


def table(summaries: Sequence[CtfSummary]) -> Table:
    """Return a row for each set and method."""
    shown = _table("Micrographs with known defocus", "set", "method")
    for name in ("n", "right", "rule", "defocus %", "95th", "of CTFFIND's", "astigm. Å", "95th"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name in ("wrong,\nreliable", "right,\nunreliable", "error /\nstated", "CPU s", "wall s", "read s"):
        shown.add_column(name, justify="right", no_wrap=True)
    for _, group in groupby(summaries, key=lambda one: one.set_name):
        for index, one in enumerate(group):
            shown.add_row(one.set_name if index == 0 else "", one.method, *_accuracy(one), *_trust(one))
    return shown


def _table(title: str, *columns: str) -> Table:
    shown = Table(
        title=title, title_justify="left", title_style="bold not italic", box=None, header_style="dim", pad_edge=False
    )
    for name in columns:
        shown.add_column(name, no_wrap=True)
    return shown


def _accuracy(one: CtfSummary) -> list[str]:
    known = one.defocus_percent is not None
    defocus, astigmatism = one.defocus_percent or (None, None), one.astigmatism_angstrom or (None, None)
    return [
        f"{one.count}" + (f" ({one.failures} failed)" if one.failures else ""),
        f"{one.right}" if known else "",
        f"{one.within_rule}" if known else "",
        _number(defocus[0], 3),
        _number(defocus[1], 2),
        "" if one.of_ctffinds is None else f"{one.of_ctffinds:.2f} ×",
        _number(astigmatism[0], 0),
        _number(astigmatism[1], 0),
    ]


def _trust(one: CtfSummary) -> list[str]:
    return [
        f"{one.wrong_but_reliable}" if not one.wrong_but_reliable else f"[red]{one.wrong_but_reliable}[/red]",
        f"{one.right_but_unreliable}" if one.defocus_percent is not None else "",
        _number(one.error_over_stated, 2),
        _number(one.cpu_s, 2),
        _number(one.wall_s, 2),
        _number(one.read_s, 3),
    ]


def images_table(reports: Sequence[ImageReport]) -> Table:
    """Return what is found in images whose truth is unknown, and whether their parts agree."""
    shown = _table("Images whose truth is unknown", "image", "method")
    for name in ("U Å", "V Å", "angle", "± Å", "fit Å", "reliable", "wall s"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("parts: mean defocus Å, and how far from the whole in stated errors")
    for report in reports:
        for index, answer in enumerate(report.answers):
            if answer.failure:
                shown.add_row(report.name if index == 0 else "", answer.method, *[""] * 7, answer.failure)
                continue
            shown.add_row(
                report.name if index == 0 else "",
                answer.method,
                f"{answer.defocus_u_angstrom:.0f}",
                f"{answer.defocus_v_angstrom:.0f}",
                f"{answer.angle_degrees:.0f}",
                _number(answer.sigma_angstrom, 0),
                _number(answer.fit_resolution_angstrom, 1),
                "yes" if answer.reliable else "no",
                _number(answer.wall_s, 2),
                "; ".join(report.parts_of(answer.method)),
            )
    return shown


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
