"""The console of all commands, while rich moves the cursor to draw bars."""

from __future__ import annotations

import sys

from tests.on_terminals import shown_on_terminal

DRAWS = r"""
import sys
from rich.progress import Progress
from transfer.terminal.console import PlainConsole
from transfer.terminal.streams import escape_outputs
escape_outputs()
with Progress(console=PlainConsole(stderr=True), transient=True) as bars:
    bars.add_task("a movie \x1b[2J", total=2, completed=1)
    bars.refresh()
    print("a line of a library \x1b[2J", file=sys.stderr)
"""


def test_bars_are_drawn_and_what_others_write_meanwhile_is_escaped() -> None:
    code, seen = shown_on_terminal([sys.executable, "-c", DRAWS])
    assert code == 0
    assert b"\x1b[2K" in seen, "the line of the bar is erased before it is drawn again"
    assert rb"\x1b[2K" not in seen, "and not told"
    assert rb"a movie \x1" in seen
    assert b"\x1b[2J" not in seen
