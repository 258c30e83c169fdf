"""Listeners of `watch`: JSON lines for programs on stdout, a live table or log lines for people on stderr."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from agents.commands.exposure_text import STYLES, as_json, troubles
from agents.happenings import AgentEnded, AnnouncementsLost, Happening
from agents.journal.changes import ExposureChanged, NoteChanged
from agents.journal.journal import Journal
from agents.journal.opening import JOURNAL_ERRORS
from agents.journal.states import SET_ASIDE, State
from transfer.terminal.log_lines import PrintableFormatter
from transfer.wire.printable import printable

log = logging.getLogger("agents")

_LATEST = 8


class JsonLines:
    """Listens to the agent and writes one JSON object a line: each change of an exposure, and the summary at the end.

    Parameters
    ----------
    descriptor
        Open for writing, such as standard output's. It is written without a buffer, so that a reader that stops
        reading cannot keep the process from ending.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_read = True

    def __call__(self, happening: Happening) -> None:
        """Write an announcement; nothing any more once the reader has ended."""
        if not self._is_read:
            return
        try:
            self._write_happening(happening)
        except OSError as error:
            self._is_read = False
            why = "the program that read the lines of --json has ended"
            if not isinstance(error, BrokenPipeError):
                why = f"the lines of --json cannot be written ({error.strerror})"
            log.warning("%s; the agent goes on without them", why)

    def _write_happening(self, happening: Happening) -> None:
        match happening:
            case ExposureChanged():
                self._write(as_json(happening))
            case AgentEnded():
                counts = {state.value: count for state, count in happening.counts.items()}
                account = happening.account and happening.account.as_json()
                self._write({"summary": counts, "account": account, "seconds": round(happening.seconds, 1)})
            case AnnouncementsLost():
                self._write({"lost_lines": happening.count})
            case NoteChanged(key="lease_trouble"):
                self._write({"waiting": happening.value})
            case NoteChanged():
                pass

    def _write(self, values: dict[str, Any]) -> None:
        rest = json.dumps(values).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class ProgressDisplay:
    """Listens to the agent and shows people what happens: a live table on a terminal, log lines elsewhere.

    Parameters
    ----------
    journal
        Read for the counts and for what is wrong.
    live
        Show the table; needs a terminal, and nothing else may write to it.
    """

    def __init__(self, journal: Journal, console: Console, *, live: bool) -> None:
        self._journal, self._console, self._is_live = journal, console, live
        self._latest: dict[str, ExposureChanged] = {}
        self._lock = threading.Lock()

    def __call__(self, happening: Happening) -> None:
        """Show an announcement."""
        if not isinstance(happening, ExposureChanged):
            return
        if self._is_live:
            with self._lock:
                self._latest.pop(happening.movie, None)
                self._latest[happening.movie] = happening
                if len(self._latest) > _LATEST:
                    del self._latest[next(iter(self._latest))]
        elif happening.state not in SET_ASIDE:  # the reason is logged where an exposure is failed or held
            revision = f" (revision {happening.revision})" if happening.revision > 1 else ""
            log.info("%s: %s%s", happening.movie, happening.state, revision)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the table while the context lasts, if it is to be shown."""
        if not self._is_live:
            yield
            return
        root = logging.getLogger()
        before, root.handlers = (
            root.handlers,
            [RichHandler(console=self._console, show_path=False, rich_tracebacks=True)],
        )
        root.handlers[0].setFormatter(PrintableFormatter("%(message)s", "[%X]"))
        try:
            with Live(get_renderable=self._picture, console=self._console, refresh_per_second=2, transient=True):
                yield
        finally:
            root.handlers = before

    def _picture(self) -> RenderableType:
        try:
            return self._picture_of_journal()
        except JOURNAL_ERRORS as error:
            return Text(f"the journal cannot be read now: {error}", "yellow")

    def _picture_of_journal(self) -> RenderableType:
        counts = self._journal.counts()
        states = Table.grid(padding=(0, 2))
        states.add_row(*(Text(state.value, STYLES[state]) for state in State))
        states.add_row(*(str(counts[state]) for state in State))
        latest = Table(box=None, padding=(0, 2), show_header=False)
        with self._lock:
            newest_first = list(reversed(self._latest.values()))
        for exposure in newest_first:
            motion = "" if exposure.motion_angstrom is None else f"{exposure.motion_angstrom:.1f} Å"
            movie, reason = Text(printable(exposure.movie)), Text(printable(exposure.reason))
            latest.add_row(Text(exposure.state.value, STYLES[exposure.state]), movie, motion, reason)
        held_up = [Text(printable(trouble), "yellow") for trouble in troubles(self._journal)]
        return Group(states, *held_up, latest)


def summary(counts: Mapping[State, int], seconds: float) -> str:
    """Return in one line how many exposures are in which state at the end."""
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing found"
    return f"{text} after {seconds:.0f} s"
