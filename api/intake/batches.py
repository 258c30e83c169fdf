"""How many bytes of each body are collected in memory before they are written: all bodies share one limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST_BYTES = 1 << 20
LEAST_BYTES = 64 << 10
ALL_BYTES = 32 << 20


class Batches:
    """The bodies that come through ASGI at present, and how large a batch of each may be."""

    def __init__(self) -> None:
        self._bodies = 0

    @contextmanager
    def body(self) -> Iterator[None]:
        """Count a body."""
        self._bodies += 1
        try:
            yield
        finally:
            self._bodies -= 1

    @property
    def batch_bytes(self) -> int:
        """After how many bytes a batch is written."""
        return max(LEAST_BYTES, min(MOST_BYTES, ALL_BYTES // max(1, self._bodies)))
