"""Measures how long a movie's stages take, and reports its progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float], None]
"""Called with the stage (`read`, `align`, `sum`, `ctf`, `write`) and how much of it is done, from 0 to 1."""


class StageTimer:
    """One movie's timer. `seconds` holds the wall time of each stage; work that is repeated is counted each time.

    The callback may raise an exception, which ends the movie there.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    def report(self, stage: str, fraction: float) -> None:
        """Report which fraction of a stage is done, from 0 to 1."""
        if self._progress is not None:
            self._progress(stage, fraction)

    @contextmanager
    def beginning_of(self, stage: str) -> Iterator[None]:
        """Measure the block as the first part of a stage."""
        if stage not in self.seconds:
            self.report(stage, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Measure the block as a whole stage, or as the rest of one."""
        with self.beginning_of(stage):
            yield
        self.report(stage, 1.0)
