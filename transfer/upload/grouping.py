"""Decides how many neighbouring chunks share one request."""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupingLimits:
    """When chunks share a request.

    Attributes
    ----------
    most_chunks
        At most so many chunks go in one request.
    least_bytes_per_s
        On slower links each chunk is a request of its own. The default is more than 1 Gbit/s together with what the
        sockets of 16 connections take at once; above it, the time of a request costs more than sending a chunk again.
    """

    most_chunks: int = 4
    least_bytes_per_s: float = 200e6


class ChunkGrouping:
    """The chunks of all uploads that wait, and how many of them may share a request.

    Not thread-safe: the caller holds a lock.
    """

    def __init__(self, limits: GroupingLimits) -> None:
        self._limits = limits
        self._waiting: list[Sized] = []

    def add(self, chunks: Sized) -> None:
        """Count the chunks of an upload as waiting, as many as the collection has from now on."""
        self._waiting.append(chunks)

    def remove(self, chunks: Sized) -> None:
        """Count the chunks of this collection no more. Another collection with equal chunks stays."""
        self._waiting = [other for other in self._waiting if other is not chunks]

    def chunks_per_request(self, bytes_per_s: float, connections: int) -> int:
        """Return how many neighbouring chunks may share a request, so that no connection is left without work.

        Parameters
        ----------
        bytes_per_s
            The rate at which bytes are sent now.
        connections
            How many connections send.
        """
        if bytes_per_s < self._limits.least_bytes_per_s:
            return 1
        return min(self._limits.most_chunks, max(1, sum(map(len, self._waiting)) // connections))


def take_run(indices: deque[int], at_most: int) -> range:
    """Take the first of ascending chunk indices, and up to `at_most` in all that follow it without a gap.

    Returns an empty range if there are no indices.
    """
    if not indices:
        return range(0)
    start = stop = indices[0]
    while indices and indices[0] == stop and stop - start < at_most:
        stop = indices.popleft() + 1
    return range(start, stop)
