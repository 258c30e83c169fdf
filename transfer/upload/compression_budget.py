"""Decides whether one more request may hold its body in memory, compressed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_BODIES = 16


class CompressionBudget:
    """How many bodies may be compressed at a time; the others are sent unchanged.

    Parameters
    ----------
    is_link_slow
        Returns whether the link is slower than a processor compresses. Compression does not pay otherwise.
    most_bodies
        How many bodies, of up to a chunk each, may be in memory at a time.
    """

    def __init__(self, is_link_slow: Callable[[], bool], most_bodies: int = MOST_BODIES) -> None:
        self._is_link_slow = is_link_slow
        self._free = threading.BoundedSemaphore(most_bodies)

    @contextmanager
    def reserve(self) -> Iterator[bool]:
        """Yield whether the body of a request may be compressed; the place in memory is free again afterwards."""
        may_compress = self._is_link_slow() and self._free.acquire(blocking=False)
        try:
            yield may_compress
        finally:
            if may_compress:
                self._free.release()
