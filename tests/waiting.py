"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    *,
    timeout_s: float = 90,
    pause_s: float = 0.01,
    alive: Callable[[], bool] = lambda: True,
) -> T:
    """Call a condition until it holds, and return what it returned.

    Parameters
    ----------
    condition
        What is waited for; it holds when it returns something true.
    what
        What is missing when the time is over: the text of the test's failure, or a function that makes it then.
    timeout_s
        How long to wait, in seconds. It bounds a test that fails; no test passes sooner or later by it.
    pause_s
        How long to sleep between two calls, in seconds.
    alive
        Whether the condition can still come to hold; when not, it is called a last time.

    Raises
    ------
    AssertionError
        It did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        was_alive = alive()
        if value := condition():
            return value
        if not was_alive or time.monotonic() > deadline:
            reason = f"not within {timeout_s:g} s" if was_alive else "ended before"
            raise AssertionError(f"{reason}: {what if isinstance(what, str) else what()}")
        time.sleep(pause_s)
