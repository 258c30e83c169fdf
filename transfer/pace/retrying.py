"""Retries a request that failed with a temporary error.

The wait grows with each attempt, has a random part, and is never shorter than the receiver asks for (`Retry-After`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from transfer.wire.errors import TemporaryError, TransferStopped

T = TypeVar("T")

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
LONGEST_SILENCE_S, SHORTEST_SILENCE_S = 60.0, 1.0
POLL_S = 0.1  # how soon a stop is noticed

_random = random.SystemRandom()


def jittered(low_s: float, high_s: float) -> float:
    """Return a random time between two others, in s: clients that wait must not all try again at once."""
    return _random.uniform(low_s, high_s)


def silence_s(give_up_after_s: float | None) -> float:
    """Return how long a receiver may be silent in one request, in s, so that giving up is not delayed by one.

    0 stands for one attempt that may take as long as any.
    """
    return min(LONGEST_SILENCE_S, max(give_up_after_s or LONGEST_SILENCE_S, SHORTEST_SILENCE_S))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a request with temporary errors is retried, and what stops it.

    Parameters
    ----------
    give_up_after_s
        When the next attempt would be later than this after the first failure, in s, the last error is raised. None:
        never.
    should_stop
        Called before each attempt and during each wait; True stops.
    clock
        Returns the monotonic time in s.
    sleep
        Waits for a number of seconds.
    """

    give_up_after_s: float | None
    should_stop: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def check_stop(self) -> None:
        """Raise TransferStopped if `should_stop` returns True."""
        if self.should_stop():
            raise TransferStopped

    def wait(self, seconds: float) -> None:
        """Wait, unless `should_stop` returns True.

        Raises
        ------
        TransferStopped
        """
        until = self.clock() + seconds
        self.check_stop()
        while (left := until - self.clock()) > 0:
            self.sleep(min(left, POLL_S))
            self.check_stop()

    def repeat(self, request: Callable[[], T]) -> T:
        """Call the request until it raises no TemporaryError; return what it returns.

        Raises
        ------
        TemporaryError
            The last one: the time is over, or the receiver asks for a longer wait than is left.
        TransferStopped
        """
        first_failure, wait_s = None, FIRST_WAIT_S
        while True:
            self.check_stop()
            try:
                return request()
            except TemporaryError as error:
                now = self.clock()
                first_failure = first_failure or now
                pause_s = max(error.retry_after_s or 0.0, wait_s) + jittered(0, wait_s)
                if self.give_up_after_s is not None and now + pause_s > first_failure + self.give_up_after_s:
                    raise
            self.wait(pause_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
