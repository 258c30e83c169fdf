"""How long the start-up of a path takes, which is taken off the time of a run."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.errors import BenchmarkError
from benchmarks.measuring import Measurement

SHORTEST_S = 0.2
"""A run must take this long without its start-up to count, because start-up itself varies by as much."""
MOST_REPEATS = 2
"""A start-up is measured at most so many times more."""


def shortest_start(first: Measurement, wall_s: float, measure_again: Callable[[], Measurement]) -> Measurement:
    """Return the start-up to take off a run's time: a doubtful one is measured again, and the shortest holds.

    What else the machine does can only make a start-up longer, also longer than the whole run. A start-up is doubtful
    if it leaves less than `SHORTEST_S` of a run that is not itself that short.

    Parameters
    ----------
    first
        The start-up as measured before the run.
    wall_s
        The time of the run, with its start-up.
    measure_again
        Measures the start-up; called at most `MOST_REPEATS` times.
    """
    shortest = first
    for _ in range(MOST_REPEATS):
        if wall_s < SHORTEST_S or wall_s - shortest.wall_s >= SHORTEST_S:
            break
        try:
            shortest = min(shortest, measure_again(), key=lambda one: one.wall_s)
        except BenchmarkError:  # the run itself was whole, and keeps its figures
            break
    return shortest
