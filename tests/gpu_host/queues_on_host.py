"""Queues of work, as a device's streams are, done in an order that events allow: the worst one, or one drawn by lot."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

AT_ONCE = "at once"
LATE = "late"
OTHERS_FIRST = "others first"
ORDERS = (LATE, OTHERS_FIRST, "random 1", "random 2", "random 3")
"""Those in which work waits."""


class Queue:
    """Work that is done in its order. `asked` counts what was asked for, `done` what is done."""

    def __init__(self) -> None:
        self.asked = self.done = 0
        self._waiting: deque[Callable[[], None] | tuple[Queue, int]] = deque()

    def ask(self, work: Callable[[], None] | tuple[Queue, int]) -> None:
        """Ask for some work, or for all that follows to wait until another queue has done so many of its own."""
        self._waiting.append(work)
        self.asked += 1

    @property
    def is_empty(self) -> bool:
        """Return whether all is done."""
        return not self._waiting

    def holds_up(self) -> Queue | None:
        """Return the queue that this one waits for; None if it can go on."""
        first = self._waiting[0]
        if callable(first) or first[0].done >= first[1]:
            return None
        return first[0]

    def step(self) -> None:
        """Do what comes next."""
        first = self._waiting.popleft()
        if callable(first):
            first()
        self.done += 1


class Queues:
    """All queues of a device.

    Parameters
    ----------
    order : str
        `at once`: work is done when it is asked for. Otherwise it is done when somebody waits for it: `late` does what
        that needs and no more; `others first` does all that other queues may do before that; `random N` draws lots.
    lock : threading.RLock
        Held while work is done that had to wait.
    """

    def __init__(self, order: str, lock: threading.RLock) -> None:
        self.order = order
        self._lock = lock
        self._lots = random.Random(order)
        self._busy: list[Queue] = []

    def ask(self, queue: Queue, work: Callable[[], None] | tuple[Queue, int]) -> None:
        """Ask a queue for some work, now or later."""
        if self.order == AT_ONCE:
            if callable(work):
                work()
            return
        with self._lock:
            queue.ask(work)
            if queue not in self._busy:
                self._busy.append(queue)

    def catch_up(self, queue: Queue, until: int) -> None:
        """Have a queue do what it was asked for first, up to a number."""
        with self._lock:
            while queue.done < until:
                chosen = self._next(queue)
                chosen.step()
                if chosen.is_empty:
                    self._busy.remove(chosen)

    def finish(self) -> None:
        """Do all that was asked for."""
        with self._lock:
            while self._busy:
                self.catch_up(self._busy[0], self._busy[0].asked)

    def _next(self, wanted: Queue) -> Queue:
        ready = [queue for queue in self._busy if queue.holds_up() is None]
        if self.order.startswith("random"):
            return self._lots.choice(ready)
        others = [queue for queue in ready if queue is not wanted]
        if self.order == OTHERS_FIRST and others:
            return others[-1]
        while (other := wanted.holds_up()) is not None:
            wanted = other
        return wanted
