"""Lets background work go on while no bodies are received, and slowly while they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from api.intake.activity import ACTIVITY_NAME, IntakeActivity

QUIET_S = 0.5
MINIMUM_BYTES_PER_S = 4e6
"""How much is read while bodies are received: a few percent of what a disk can do, and never nothing."""
POLL_S = 0.1


class CheckStopped(Exception):
    """The receiver ends, so the background work ends too."""


class BackgroundTurns:
    """Says when the background work of one process may read the next bytes.

    Parameters
    ----------
    activity
        When bodies were last received.
    stopping
        Set when the receiver ends.
    clock
        Returns the monotonic time, in s.
    """

    def __init__(
        self, activity: IntakeActivity, stopping: threading.Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._activity = activity
        self._stopping = stopping
        self._clock = clock
        self._turn = threading.Lock()
        self._free_at_s = 0.0

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may be read.

        Raises
        ------
        CheckStopped
        """
        with self._turn:
            now_s = self._clock()
            due_s = self._free_at_s = max(self._free_at_s, now_s) + size_bytes / MINIMUM_BYTES_PER_S
        while True:
            if self._stopping.is_set():
                raise CheckStopped
            left_s = due_s - self._clock()
            if left_s <= 0:
                return
            if self._activity.quiet_s() > QUIET_S:
                with self._turn:
                    self._free_at_s = min(self._free_at_s, self._clock())
                return
            self._stopping.wait(min(POLL_S, left_s))


def background_turns(data: Path) -> BackgroundTurns:
    """Return the turns of a command that works beside the receiver of a data folder, and that only its user stops."""
    return BackgroundTurns(IntakeActivity(data / ACTIVITY_NAME), threading.Event())
