"""How long each stage of the work takes on a CUDA device, by events on its stream: nothing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from preprocess.backends.contract import StageTime
from preprocess.backends.cuda.device import cupy

MOST_PENDING = 256
"""Measurements kept before those that are through are added up."""


class DeviceTimer:
    """Adds up what stages take; several threads may measure at a time, each on its stream."""

    def __init__(self) -> None:
        self._pending: list[tuple[str, Any, Any, int, int]] = []
        self._times: dict[str, StageTime] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str, *, moved_bytes: int = 0, flop: int = 0) -> Iterator[None]:
        """Measure what is started inside on the thread's current stream.

        Parameters
        ----------
        moved_bytes : int
            What must be read and written at least, from and to the device's memory.
        flop : int
            Operations on numbers, about.
        """
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        yield
        end.record()
        with self._lock:
            self._pending.append((name, start, end, moved_bytes, flop))
            if len(self._pending) > MOST_PENDING:
                self._add_up(wait=False)

    def times(self) -> dict[str, StageTime]:
        """Return what was measured since this was asked last; waits for the device."""
        with self._lock:
            self._add_up(wait=True)
            times, self._times = self._times, {}
        return times

    def _add_up(self, *, wait: bool) -> None:
        pending = []
        for measured in self._pending:
            name, start, end, moved_bytes, flop = measured
            if wait:
                end.synchronize()
            elif not end.done:
                pending.append(measured)
                continue
            before = self._times.get(name, StageTime())
            self._times[name] = StageTime(
                before.ms + cupy.cuda.get_elapsed_time(start, end), before.bytes + moved_bytes, before.flop + flop
            )
        self._pending = pending
