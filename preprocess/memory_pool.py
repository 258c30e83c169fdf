"""Lends memory for large arrays and keeps it: the next array, and the next movie, take what others have left.

A system takes as long to hand out a movie's memory as the alignment computes in a fifth of its time or more. The pool
reserves addresses, not memory: what was never used is not taken. Arrays lie as near to its begin as they can, so that
it holds about as much as is in use at once.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from preprocess.platform import AddressSpace, physical_bytes, reserve_addresses

SMALLEST_BYTES = 1 << 20
"""Smaller arrays are left to NumPy."""
_PAGE_BYTES = 4096


class MemoryPool:
    """Memory for arrays, which comes back when the last view of an array is gone.

    Parameters
    ----------
    most_bytes : int
        Arrays that do not fit in so much are left to NumPy; 0: all are.
    """

    def __init__(self, most_bytes: int) -> None:
        self._space: AddressSpace | None = reserve_addresses(most_bytes) if most_bytes else None
        self._lent: dict[int, tuple[int, int, Any]] = {}  # by the reference's id: begin, end, and the reference
        self._come_back: deque[int] = deque()  # filled by the collector, at any instant and in any thread
        self._touched_end = 0
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike, *, brief: bool = False) -> NDArray[Any]:
        """Return an array whose values are not set, as `numpy.empty` does.

        Parameters
        ----------
        brief : bool
            Others will follow that outlive it: it lies at the end of what is kept, where it leaves no gap, if at all.

        Raises
        ------
        MemoryError
        """
        size = math.prod(shape)
        count_bytes = size * np.dtype(dtype).itemsize
        if self._space is None or count_bytes < SMALLEST_BYTES:
            return np.empty(shape, dtype)
        with self._lock:
            begin = self._room_at_end(count_bytes) if brief else self._room_for(count_bytes)
            if begin is None:
                return np.empty(shape, dtype)
            flat = np.frombuffer(self._space.buffer, dtype, size, begin)
            reference = weakref.ref(flat, lambda gone: self._come_back.append(id(gone)))
            self._lent[id(reference)] = (begin, begin + count_bytes, reference)
            self._touched_end = max(self._touched_end, begin + count_bytes)
        return flat.reshape(shape)

    def kept_bytes(self) -> int:
        """Return about how much memory is kept for arrays to come."""
        with self._lock:
            return self._touched_end - sum(end - begin for begin, end, _ in self._still_lent())

    def give_back(self) -> None:
        """Give all memory back to the system that no array lies in."""
        if self._space is None:
            return
        with self._lock:
            lent, free_from = sorted((begin, end) for begin, end, _ in self._still_lent()), 0
            for begin, end in [*lent, (self._touched_end, self._touched_end)]:
                if begin > free_from:
                    self._space.give_back(free_from, begin)
                free_from = _next_page(end)
            self._touched_end = lent[-1][1] if lent else 0

    def _room_for(self, count_bytes: int) -> int | None:
        """Return where an array can begin, the lowest place of all; None if it fits nowhere."""
        assert self._space is not None
        begin = 0
        for lent_begin, lent_end in sorted((begin, end) for begin, end, _ in self._still_lent()):
            if lent_begin - begin >= count_bytes:
                break
            begin = _next_page(lent_end)
        return begin if begin + count_bytes <= self._space.size_bytes else None

    def _room_at_end(self, count_bytes: int) -> int | None:
        """Return where an array can begin so that it ends with what is kept; None if another one lies there."""
        begin = (self._touched_end - count_bytes) // _PAGE_BYTES * _PAGE_BYTES
        last_end = max((end for _, end, _ in self._still_lent()), default=0)
        return begin if begin >= last_end else None

    def _still_lent(self) -> list[tuple[int, int, Any]]:
        while self._come_back:
            self._lent.pop(self._come_back.popleft(), None)
        return list(self._lent.values())


def _next_page(place: int) -> int:
    return -(-place // _PAGE_BYTES) * _PAGE_BYTES


@cache
def pool_of_process() -> MemoryPool:
    """Return the pool that this process's arrays come from."""
    return MemoryPool(physical_bytes() or 0)
