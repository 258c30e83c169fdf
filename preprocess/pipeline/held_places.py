"""Decides which movies' frames may be held at the same time: at most two, and only if the memory suffices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_MOVIES = 2
"""One that is computed and one that is read. A third would only wait."""


class ProcessingStopped(Exception):
    """Processing was stopped; the result of this movie is no longer needed."""


class HeldPlaces:
    """Places for movies' frames, taken before they are read and given back when they are released.

    Parameters
    ----------
    available_bytes : Callable[[], int | None]
        Returns how much memory is available; called while no place is taken. None: unknown, and assumed to suffice.
    """

    def __init__(self, available_bytes: Callable[[], int | None]) -> None:
        self._available_bytes = available_bytes
        self._budget_bytes: int | None = None
        self._taken: list[int] = []
        self._most = MOST_MOVIES
        self._someone_alone = False
        self._stopped = False
        self._changed = threading.Condition()

    @property
    def stopped(self) -> bool:
        """Return whether processing was stopped."""
        return self._stopped

    def take(self, needed_bytes: int) -> bool:
        """Wait for a place; return whether it is the only one, so that no more memory can become free.

        Raises
        ------
        ProcessingStopped
            Processing was stopped meanwhile.
        """
        with self._changed:
            self._wait_for(lambda: self._fits(needed_bytes))
            alone = not self._taken
            if alone:
                self._budget_bytes = self._available_bytes()
            self._taken.append(needed_bytes)
            return alone

    def give_back(self, needed_bytes: int) -> None:
        """Give a place back."""
        with self._changed:
            self._taken.remove(needed_bytes)
            self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Reserve all places: wait until none is taken, and let no thread take one inside the block."""
        with self._changed:
            self._wait_for(lambda: not self._someone_alone)
            self._someone_alone = True
        try:
            with self._changed:
                self._wait_for(lambda: not self._taken)
            yield
        finally:
            with self._changed:
                self._someone_alone = False
                self._changed.notify_all()

    def hold_one_at_a_time(self) -> None:
        """Allow only one held movie at a time from now on."""
        with self._changed:
            self._most = 1

    def stop(self) -> None:
        """Raise ProcessingStopped in all who wait for a place."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._stopped or condition())
        if self._stopped:
            raise ProcessingStopped

    def _fits(self, needed_bytes: int) -> bool:
        if self._someone_alone:
            return False
        if not self._taken:
            return True
        enough = self._budget_bytes is None or sum(self._taken) + needed_bytes <= self._budget_bytes
        return enough and len(self._taken) < self._most
