"""Repeats a request that failed for now: waits longer each time, with jitter, and as long as the receiver asks for."""

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
POLL_S = 0.1  # how soon a stop is noticed

_random = random.SystemRandom()


def jittered(low_s: float, high_s: float) -> float:
    """Return a time between the two, so that many who wait do not come back at the same instant."""
    return _random.uniform(low_s, high_s)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long temporary errors are borne, and who may end the waiting.

    Parameters
    ----------
    give_up_after_s
        Time in s after a request's first failure when its last one is raised; None: never.
    should_stop
        Asked before each attempt and while waiting.
    """

    give_up_after_s: float | None
    should_stop: Callable[[], bool]

    def check_stop(self) -> None:
        """Raise TransferStopped if somebody wants to stop."""
        if self.should_stop():
            raise TransferStopped

    def wait(self, seconds: float) -> None:
        """Wait, unless somebody wants to stop.

        Raises
        ------
        TransferStopped
        """
        until = time.monotonic() + seconds
        self.check_stop()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S))
            self.check_stop()

    def repeat(self, request: Callable[[], T]) -> T:
        """Return what the request returns once no TemporaryError comes of it.

        Raises
        ------
        TemporaryError
            The last one, when the time is over or the receiver asks for more time than is left.
        TransferStopped
        """
        first_failure, wait_s = None, FIRST_WAIT_S
        while True:
            self.check_stop()
            try:
                return request()
            except TemporaryError as error:
                now = time.monotonic()
                first_failure = first_failure or now
                pause_s = max(error.retry_after_s or 0.0, wait_s) + jittered(0, wait_s)
                if self.give_up_after_s is not None and now + pause_s > first_failure + self.give_up_after_s:
                    raise
            self.wait(pause_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
