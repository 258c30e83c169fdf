"""Measures how fast the agent works, for its status report."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_KEPT = 20
_HOUR_S = 3600.0
_RATE_OVER_S = 60.0


class Measurements:
    """How long the stages of the newest movies took, and how many movies and bytes were sent lately.

    Safe to use from several threads.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stages: dict[str, deque[float]] = {}
        self._began_s = clock()
        self._sent_at_s: deque[float] = deque()
        self._sent_bytes: deque[tuple[float, int]] = deque([(self._began_s, 0)])

    def add_stage(self, name: str, seconds: float) -> None:
        """Add how long a stage of one movie took."""
        with self._lock:
            self._stages.setdefault(name, deque(maxlen=_KEPT)).append(seconds)

    def count_movie(self) -> None:
        """Count a movie whose results have all arrived."""
        with self._lock:
            self._sent_at_s.append(self._clock())

    def note_sent(self, total_bytes: int) -> None:
        """Note how many bytes were sent since the agent started."""
        with self._lock:
            self._sent_bytes.append((self._clock(), total_bytes))
            while len(self._sent_bytes) > 2 and self._sent_bytes[1][0] <= self._clock() - _RATE_OVER_S:
                self._sent_bytes.popleft()

    def stage_seconds(self) -> dict[str, float]:
        """Return the mean time of each stage over the newest 20 movies, in seconds."""
        with self._lock:
            return {name: sum(seconds) / len(seconds) for name, seconds in self._stages.items()}

    def movies_per_hour(self) -> float | None:
        """Return how many movies were sent per hour, over the last hour; None right after the start."""
        with self._lock:
            now_s = self._clock()
            while self._sent_at_s and self._sent_at_s[0] < now_s - _HOUR_S:
                self._sent_at_s.popleft()
            over_s = min(_HOUR_S, now_s - self._began_s)
            return None if over_s <= 0 else len(self._sent_at_s) * _HOUR_S / over_s

    def upload_bytes_per_s(self) -> float | None:
        """Return how many bytes were sent per second over about the last minute; None before the second note."""
        with self._lock:
            (first_s, first), (last_s, last) = self._sent_bytes[0], self._sent_bytes[-1]
        return None if last_s <= first_s else (last - first) / (last_s - first_s)
