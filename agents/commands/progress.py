"""Tells people and programs what the agent does: JSON lines on stdout, a live table or log lines on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import SET_ASIDE, State

log = logging.getLogger("agents")

STYLES = {
    State.FOUND: "dim",
    State.SETTLED: "cyan",
    State.ALIGNED: "blue",
    State.SENDING: "magenta",
    State.COMMITTED: "green",
    State.RELEASED: "bold green",
    State.REJECTED: "yellow",
    State.FAILED: "bold red",
}
_LATEST = 8


def as_json(exposure: ExposureRow) -> dict[str, Any]:
    """Return what programs are told of an exposure."""
    return {
        "exposure_id": str(exposure.exposure_id),
        "movie": exposure.movie,
        "label": exposure.label,
        "state": exposure.state.value,
        "reason": exposure.reason,
        "hint": exposure.hint,
        "revision": exposure.revision,
        "motion_angstrom": exposure.motion_angstrom,
        "warnings": list(exposure.warnings),
    }


def since(seconds: float) -> str:
    """Return how long ago a moment (seconds since 1970) was, in words."""
    passed = max(0.0, time.time() - seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed / length:.0f} {unit}"
    return f"{passed:.0f} s"


def troubles(journal: Journal) -> list[str]:
    """Return what holds the agent up at present, a sentence each."""
    found = []
    if trouble := journal.about("receiver_trouble"):
        found.append(f"receiver: {trouble}, since {since(float(journal.about('receiver_trouble_since') or 0))}")
    if trouble := journal.about("source_trouble"):
        found.append(f"source: {trouble}")
    if trouble := journal.about("work_full"):
        found.append(f"work folder: {trouble}")
    return found


class Report:
    """What a running agent says.

    Parameters
    ----------
    journal
        Read for the counts; its `on_change` is taken.
    as_json_lines
        One JSON object for each change of a state on stdout.
    """

    def __init__(self, journal: Journal, console: Console, *, as_json_lines: bool) -> None:
        self._journal, self._console, self._as_json_lines = journal, console, as_json_lines
        self._latest: dict[str, ExposureRow] = {}
        self._is_live = console.is_terminal and not as_json_lines
        journal.on_change = self._note

    def _note(self, exposure: ExposureRow) -> None:
        if self._as_json_lines:
            sys.stdout.write(json.dumps(as_json(exposure)) + "\n")
            sys.stdout.flush()
        if self._is_live:
            self._latest.pop(exposure.movie, None)
            self._latest[exposure.movie] = exposure
            if len(self._latest) > _LATEST:
                del self._latest[next(iter(self._latest))]
        elif exposure.state not in SET_ASIDE:  # why something is set aside is logged where it happens
            revision = f" (revision {exposure.revision})" if exposure.revision > 1 else ""
            log.info("%s: %s%s", exposure.movie, exposure.state, revision)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the live table on a terminal as long as the context lasts."""
        if not self._is_live:
            yield
            return
        root = logging.getLogger()
        before, root.handlers = (
            root.handlers,
            [RichHandler(console=self._console, show_path=False, rich_tracebacks=True)],
        )
        try:
            with Live(get_renderable=self._picture, console=self._console, refresh_per_second=2, transient=True):
                yield
        finally:
            root.handlers = before

    def _picture(self) -> RenderableType:
        counts = self._journal.counts()
        states = Table.grid(padding=(0, 2))
        states.add_row(*(Text(state.value, STYLES[state]) for state in State))
        states.add_row(*(str(counts[state]) for state in State))
        latest = Table(box=None, padding=(0, 2), show_header=False)
        for exposure in reversed(list(self._latest.values())):
            motion = "" if exposure.motion_angstrom is None else f"{exposure.motion_angstrom:.1f} Å"
            latest.add_row(Text(exposure.state.value, STYLES[exposure.state]), exposure.movie, motion, exposure.reason)
        held_up = [Text(trouble, "yellow") for trouble in troubles(self._journal)]
        return Group(states, *held_up, latest)

    def sum_up(self, seconds: float) -> None:
        """Tell how it all ended."""
        counts = self._journal.counts()
        if self._as_json_lines:
            summary = {"summary": {state.value: n for state, n in counts.items()}, "seconds": round(seconds, 1)}
            sys.stdout.write(json.dumps(summary) + "\n")
            sys.stdout.flush()
        told = ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "nothing found"
        self._console.print(f"{told} after {seconds:.0f} s", markup=False, highlight=False)
