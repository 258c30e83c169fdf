"""Decides which movies' frames may be held at the same time: as many as the memory is enough for, two at most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_MOVIES = 2
"""One that is computed and one that is read: a third would only wait."""


class ProcessingStopped(Exception):
    """Nobody waits for this movie any more."""


class HeldPlaces:
    """Places for movies' frames, taken before they are read and given back when they are released.

    Parameters
    ----------
    available_bytes : Callable[[], int | None]
        Tells how much memory there is; asked while no place is taken. None: nobody knows, and there is enough.
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
        """Tell whether nobody waits any more."""
        return self._stopped

    def take(self, needed_bytes: int) -> bool:
        """Wait for a place; return whether no other is taken, so that there is no way to have more memory.

        Raises
        ------
        ProcessingStopped
            All was stopped meanwhile.
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
        """Have all places: wait until none is taken, and let nobody take one inside."""
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
        """Let no two movies be held together from now on."""
        with self._changed:
            self._most = 1

    def stop(self) -> None:
        """Send all away who wait for a place."""
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
