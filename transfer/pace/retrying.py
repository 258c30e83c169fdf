"""Retries a request that failed with a temporary error.

The wait grows with each attempt, has a random part, and is never shorter than the receiver asks for (`Retry-After`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from transfer.connections.patience import attempt_within
from transfer.wire.errors import TemporaryError, TransferStopped

T = TypeVar("T")

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
LONGEST_SILENCE_S, SHORTEST_SILENCE_S = 60.0, 1.0
ONLY_ATTEMPT_S = 5.0
"""How long the only attempt may take, if none is to be repeated."""
OF_ONE_ATTEMPT = 0.9
"""Which part of the time one attempt may take: another one, on a new connection, is to follow."""
POLL_S = 0.1  # how soon a stop is noticed

_random = random.SystemRandom()


def jittered(low_s: float, high_s: float) -> float:
    """Return a random time between two others, in s: clients that wait must not all try again at once."""
    return _random.uniform(low_s, high_s)


def silence_s(give_up_after_s: float | None) -> float:
    """Return how long a receiver may be silent in one request, in s, so that giving up is not delayed by one."""
    if give_up_after_s is None:
        return LONGEST_SILENCE_S
    return min(LONGEST_SILENCE_S, max(OF_ONE_ATTEMPT * give_up_after_s, shortest_attempt_s(give_up_after_s)))


def shortest_attempt_s(give_up_after_s: float | None) -> float:
    """Return how long an attempt may take in any case, in s: the only one needs more than one of several."""
    return ONLY_ATTEMPT_S if give_up_after_s == 0 else SHORTEST_SILENCE_S


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a request with temporary errors is retried, and what stops it.

    Parameters
    ----------
    give_up_after_s
        When the next attempt would be later than this after the receiver's last sign, in s, the last error is raised.
        None: never.
    should_stop
        Called before each attempt and during each wait; True stops.
    clock
        Returns the monotonic time in s.
    sleep
        Waits for a number of seconds.
    limits_attempts
        Whether the attempts are part of that time, each being limited to what is left. If not, it begins with the first
        failure.
    """

    give_up_after_s: float | None
    should_stop: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    limits_attempts: bool = True

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

    def repeat(self, request: Callable[[], T], *, quiet_since_s: float | None = None) -> T:
        """Call the request until it raises no TemporaryError; return what it returns.

        Parameters
        ----------
        quiet_since_s
            When the receiver gave its last sign, by the clock; None: it is asked for one now.

        Raises
        ------
        TemporaryError
            The last one: the time is over, or the receiver asks for a longer wait than is left.
        TransferStopped
        """
        since_s = self.clock() if quiet_since_s is None else quiet_since_s
        is_first, wait_s = True, FIRST_WAIT_S
        while True:
            self.check_stop()
            try:
                with attempt_within(self._attempt_s(since_s)) as attempt:
                    return request()
            except TemporaryError as error:
                now_s = self.clock()
                if is_first:  # bytes of a file that move are a sign, unless they are the same bytes again
                    signed_s = now_s - attempt.quiet_s() if self.limits_attempts else now_s
                    is_first, since_s = False, max(since_s, signed_s)
                pause_s = max(error.retry_after_s or 0.0, wait_s) + jittered(0, wait_s)
                if self.give_up_after_s is not None and now_s + pause_s > since_s + self.give_up_after_s:
                    raise
            self.wait(pause_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _attempt_s(self, quiet_since_s: float) -> float:
        """Return how long the next attempt may take, in s."""
        if self.give_up_after_s is None or not self.limits_attempts:
            return math.inf
        left_s = quiet_since_s + self.give_up_after_s - self.clock()
        return max(left_s, shortest_attempt_s(self.give_up_after_s))
