"""How long what answers may keep one request waiting.

Everything that waits for the network on behalf of a request takes from one `Patience`: the lookup of a name, the
connection, its encryption, the answers of a proxy, and the request and its answer. Time in which this program does
something else is not counted. Whoever repeats a request can shorten it, by `attempt_within`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

LEAST_BYTES_PER_S = 1000
"""A file that moves slower than this for as long as a receiver may be silent counts as stalled."""


@dataclass(slots=True)
class RequestAttempt:
    """One attempt at a request.

    Attributes
    ----------
    until_s
        When it must have ended, unless bytes of a file move.
    moved_s
        When bytes of a file moved last; minus infinity if none did.
    """

    until_s: float
    moved_s: float = -math.inf

    def quiet_s(self) -> float:
        """Return for how long no bytes of a file have moved, in s."""
        return time.monotonic() - self.moved_s


_attempt: ContextVar[RequestAttempt | None] = ContextVar("attempt", default=None)


@contextmanager
def attempt_within(seconds: float) -> Iterator[RequestAttempt]:
    """Limit how long the requests that this thread makes meanwhile may wait, all of them together."""
    attempt = RequestAttempt(time.monotonic() + seconds)
    token = _attempt.set(attempt)
    try:
        yield attempt
    finally:
        _attempt.reset(token)


class Patience:
    """How much longer one request may wait. Bytes of a file that move give back what they may take.

    Parameters
    ----------
    longest_s
        How long it may wait in all, and how long no byte of a file may move; an attempt that runs may have less left.
    """

    def __init__(self, longest_s: float) -> None:
        self._attempt = _attempt.get()
        left_s = longest_s if self._attempt is None else self._attempt.until_s - time.monotonic()
        self._most_s = self._left_s = min(longest_s, left_s)

    def left_s(self, most_s: float = math.inf, *, over: str = "timed out") -> float:
        """Return how long the next wait may take, in s, and at most `most_s`.

        Raises
        ------
        TimeoutError
            No time is left; `over` is its text.
        """
        if self._left_s <= 0:
            raise TimeoutError(over)
        return min(self._left_s, most_s)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time that a wait takes."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._left_s -= time.monotonic() - began_s

    def moved(self, count: int) -> None:
        """Note that bytes of a file were sent or have arrived."""
        self._left_s = min(self._most_s, self._left_s + count / LEAST_BYTES_PER_S)
        if self._attempt is not None:
            self._attempt.moved_s = time.monotonic()
