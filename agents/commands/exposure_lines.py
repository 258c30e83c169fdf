"""Prints exposures, one line each: shortened to the terminal's width, or whole in a pipe and with --full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.terminal.lines import print_line, print_styled
from transfer.wire.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "
_LEAST = 24
"""Columns that a movie's path and a reason have at least, however narrow the terminal is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureLine:
    """What a line shows of one exposure: texts, and the style of its state."""

    state: str
    style: str
    since: str
    motion: str
    ctf: str = ""
    registered: str
    movie: str
    reason: str
    hint: str = ""


_LEAVE_OUT_FIRST = ("motion", "ctf", "registered")
"""Columns for which a narrow terminal may have no room."""

_HEADINGS = {
    "state": "state",
    "since": "since",
    "motion": "motion",
    "ctf": "CTF",
    "registered": "registered",
    "movie": "exposure",
}


def print_lines(lines: Sequence[ExposureLine], console: Console, *, full: bool, headings: bool = True) -> None:
    """Print exposures on stdout.

    Parameters
    ----------
    console
        Knows whether stdout is a terminal, and its width.
    full
        Show reasons and hints whole, also on a terminal: on lines of their own, below the exposure's line.
    headings
        Whether a line with the names of the columns comes first.
    """
    columns = [name for name in _HEADINGS if name in ("state", "movie") or any(getattr(line, name) for line in lines)]
    has_reasons = not full and any(line.reason for line in lines)
    width = console.width if console.is_terminal and not full else None
    widths = _widths(lines, columns, width, has_reasons=has_reasons)
    for name in _LEAVE_OUT_FIRST:
        if width is not None and name in columns and _used(widths) > width:
            columns.remove(name)
            widths = _widths(lines, columns, width, has_reasons=has_reasons)
    styles = _rendered_styles(lines, console)
    if headings:
        names = [_padded(_HEADINGS[name], widths[name], name) for name in columns]
        print_line(_GAP.join([*names, *(["reason"] if has_reasons else [])]).rstrip())
    for line in lines:
        cells = []
        for name in columns:
            cell = _padded(shortened_path(one_line(getattr(line, name)), widths[name]), widths[name], name)
            cells.append(styles[line.style].format(cell) if name == "state" else cell)
        if has_reasons:
            cells.append(shortened(one_line(line.reason), widths["reason"]))
        print_styled(_GAP.join(cells).rstrip())
        if full:
            for text in filter(None, (*line.reason.splitlines(), *line.hint.splitlines())):
                print_text(console, text, indent=4)


def left_out_text(count: int) -> str:
    """Return how many exposures fit and are not listed, and how to see them."""
    are = "one is" if count == 1 else "ones are"
    return f"{count:,} older {are} left out: --limit N shows more, --all shows all."


def print_text(console: Console, text: str, style: str = "", *, indent: int = 0) -> None:
    """Print a text that may be long: broken between words at the terminal's width, on one line in a pipe."""
    from rich.padding import Padding
    from rich.text import Text

    shown = Text(one_line(text), style)
    console.print(Padding(shown, (0, 0, 0, indent), expand=False) if indent else shown, soft_wrap=False)


def _widths(
    lines: Sequence[ExposureLine], columns: Iterable[str], width: int | None, *, has_reasons: bool
) -> Mapping[str, int]:
    """Return the width of each column; those of the movies and the reasons share what the others leave of `width`."""
    from rich.cells import cell_len

    widths = {
        name: max(len(_HEADINGS[name]), *(cell_len(one_line(getattr(line, name))) for line in lines), 0)
        for name in columns
    }
    if width is None:
        return {**widths, "reason": 1 << 30}
    left = width - sum(used + len(_GAP) for name, used in widths.items() if name != "movie")
    if not has_reasons:
        return {**widths, "movie": min(widths["movie"], max(_LEAST, left)), "reason": 0}
    left -= len(_GAP)
    longest = max(cell_len(one_line(line.reason)) for line in lines)
    movie = min(widths["movie"], max(_LEAST, left - longest, left * 2 // 5))
    return {**widths, "movie": movie, "reason": max(_LEAST, left - movie)}


def _used(widths: Mapping[str, int]) -> int:
    """Return how many columns a line takes."""
    shown = [width for width in widths.values() if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _rendered_styles(lines: Iterable[ExposureLine], console: Console) -> dict[str, str]:
    """Return, for each style, a format that colours a text where the terminal has colours."""
    from rich.text import Text

    rendered = {}
    for style in {line.style for line in lines}:
        with console.capture() as captured:
            console.print(Text("{}", style), end="")
        rendered[style] = captured.get()
    return rendered


def _padded(text: str, width: int, column: str) -> str:
    from rich.cells import cell_len

    room = " " * max(0, width - cell_len(text))
    return room + text if column in ("since", "motion", "ctf") else text + room


def one_line(text: str) -> str:
    """Return a text on one line, with what would control the terminal escaped."""
    return text if text.isprintable() else printable(" ".join(text.split()))


def shortened(text: str, width: int) -> str:
    """Return the beginning of a text, in at most so many columns; … stands for the rest."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def shortened_path(path: str, width: int) -> str:
    """Return a path in at most so many columns: of a long one the end, which tells movies apart."""
    from rich.cells import cell_len

    if cell_len(path) <= width:
        return path
    if path.isascii():
        return "…" + path[len(path) - width + 1 :]
    while cell_len(path) >= width:
        path = path[1:]
    return "…" + path
