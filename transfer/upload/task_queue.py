"""The requests that wait for a connection, the most urgent first."""

from __future__ import annotations

import heapq
import itertools
from concurrent.futures import Future
from dataclasses import dataclass, field

from transfer.pace.pacer import Priority
from transfer.upload.exchange import Exchange

Urgency = tuple[Priority, int]
"""A priority, then a number: what compares as smaller is sent first."""


@dataclass(order=True, slots=True)
class Task:
    """One exchange that a worker runs, and the future of its end.

    Of two tasks with the same urgency, the one with the smaller `number` comes first.
    """

    urgency: Urgency
    number: int
    exchange: Exchange = field(compare=False)
    future: Future[None] = field(compare=False, default_factory=Future)

    def finish(self, error: BaseException | None = None) -> None:
        """Set the future's result, or the error that the task ended with."""
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class TaskQueue:
    """Tasks in the order of their urgency. Not thread-safe: the caller holds a lock."""

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, exchange: Exchange, urgency: Urgency) -> Task:
        """Add an exchange and return its task."""
        task = Task(urgency, next(self._numbers), exchange)
        heapq.heappush(self._tasks, task)
        return task

    def take(self) -> Task | None:
        """Take the most urgent task that was not cancelled, and mark its future as running; None if there is none."""
        while self._tasks:
            task = heapq.heappop(self._tasks)
            if task.future.set_running_or_notify_cancel():
                return task
        return None
