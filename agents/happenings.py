"""Announces what happens to any number of listeners: the progress display, `--json`, the status report.

Each listener has a queue and a thread of its own. A listener that is slow, stuck or failing delays neither the agent
nor the other listeners. A queue is bounded: what does not fit is dropped and counted, the log says so, and the listener
gets `AnnouncementsLost` in its place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from agents.boundary import contained
from agents.journal.changes import Change
from agents.journal.states import State
from transfer.wire.accounting import SessionAccount

log = logging.getLogger(__name__)

MOST_WAITING = 100_000
"""Longest queue of one listener. A first scan announces every movie that it finds at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEnded:
    """The agent ended in an orderly way; the last announcement."""

    counts: Mapping[State, int]
    seconds: float
    account: SessionAccount | None = None  # where the session's exposures are; None: the receiver did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncementsLost:
    """The listener was too slow: this many announcements were dropped at this place."""

    count: int


Happening = Change | AgentEnded | AnnouncementsLost
Listener = Callable[[Happening], None]


class Happenings:
    """Hands each announcement to every listener once, in order."""

    def __init__(self) -> None:
        self._queues: list[_ListenerQueue] = []

    def listen(self, name: str, listener: Listener, *, most_waiting: int = MOST_WAITING) -> None:
        """Add a listener; it gets what is announced from now on, in a thread of its own.

        Parameters
        ----------
        name
            Names the listener in the log.
        listener
            May raise: the error is logged, and the listener gets the next announcement all the same.
        """
        self._queues.append(_ListenerQueue(name, listener, most_waiting))

    def announce(self, happening: Happening) -> None:
        """Put an announcement into every listener's queue; never waits."""
        for queue in self._queues:
            queue.put(happening)

    def close(self, *, give_up_s: float = 1.5) -> int:
        """End every listener after it has had all that waits for it; return how many announcements were not delivered.

        Parameters
        ----------
        give_up_s
            A listener that takes no announcement for this many seconds is left behind. By default it leaves time in the
            4 s that the agent's end may take after a signal.
        """
        queues, self._queues = self._queues, []
        for queue in queues:
            queue.end()
        return sum(queue.wait(give_up_s) for queue in queues)


class _ListenerQueue:
    """The announcements that wait for one listener, and the thread that hands them to it."""

    def __init__(self, name: str, listener: Listener, most_waiting: int) -> None:
        self._name, self._listener, self._most_waiting = name, listener, most_waiting
        self._changed = threading.Condition()
        self._waiting: deque[Happening] = deque()
        self._lost = 0
        self._is_ending = False
        self._failures = 0
        self._delivered = 0
        self._thread = threading.Thread(target=self._deliver_all, name=f"listener {name}", daemon=True)
        self._thread.start()

    def put(self, happening: Happening) -> None:
        """Add an announcement; it is dropped when the queue is full or was ended."""
        with self._changed:
            if self._is_ending:
                return
            is_full = len(self._waiting) >= self._most_waiting
            if is_full:
                self._lost += 1
            else:
                self._note_losses()
                self._waiting.append(happening)
                self._changed.notify_all()
            is_first_loss = is_full and self._lost == 1
        if is_first_loss:
            log.warning(
                "listener %s: %d announcements wait; newer ones are dropped until it goes on",
                self._name, self._most_waiting,
            )  # fmt: skip

    def _note_losses(self) -> None:
        if self._lost:
            log.warning("listener %s: %d announcements were dropped", self._name, self._lost)
            self._waiting.append(AnnouncementsLost(count=self._lost))
            self._lost = 0

    def end(self) -> None:
        """Accept nothing more; the thread ends once the queue is empty."""
        with self._changed:
            self._note_losses()
            self._is_ending = True
            self._changed.notify_all()

    def wait(self, give_up_s: float) -> int:
        """Wait until the thread has ended, or has delivered nothing for a time; return how many still wait."""
        with self._changed:
            delivered, since_s = self._delivered, time.monotonic()
            while not self._is_done() and time.monotonic() - since_s < give_up_s:
                self._changed.wait(give_up_s)
                if self._delivered != delivered:
                    delivered, since_s = self._delivered, time.monotonic()
            left = len(self._waiting)
        if left:
            log.warning("listener %s: %d announcements were not delivered when the agent ended", self._name, left)
        return left

    def _is_done(self) -> bool:
        return self._is_ending and not self._waiting

    def _deliver_all(self) -> None:
        while (happening := self._next()) is not None:
            contained(partial(self._listener, happening), self._note_failure)
            with self._changed:
                self._waiting.popleft()
                self._delivered += 1
                self._changed.notify_all()

    def _next(self) -> Happening | None:
        """Return what comes next, and leave it in the queue: it counts as waiting until the listener has had it."""
        with self._changed:
            while not self._waiting:
                if self._is_ending:
                    return None
                self._changed.wait()
            return self._waiting[0]

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            log.exception("listener %s failed (%s); it goes on with the next announcement", self._name, error)
        else:
            log.debug("listener %s failed for the %dth time: %s", self._name, self._failures, error)
