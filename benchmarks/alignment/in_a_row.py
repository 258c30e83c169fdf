"""Measures what takes more than one movie: the device's stages over a few, and movies an hour over many."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.alignment.movies import BenchMovie
from benchmarks.alignment.sustained import Process, Sustained, sustain
from benchmarks.device.figures import DeviceFigures
from benchmarks.device.measuring import measure_on_device
from benchmarks.errors import BenchmarkError

_NAMES: Mapping[Process, str] = {"align": "one process of align", "worker": "an agent's worker"}


class InARow:
    """Collects the figures of each preset in turn; reports a failure and continues with the next."""

    def __init__(
        self,
        device: str,
        count: int,
        work: Path,
        threads: int,
        environment: Mapping[str, str],
        tell: Callable[[str], None],
    ) -> None:
        self._device = device
        self._count = count
        self._work = work
        self._threads = threads
        self._environment = environment
        self._tell = tell
        self.on_device: list[DeviceFigures] = []
        self.sustained: list[Sustained] = []
        self.failures: list[str] = []

    def measure(self, movies: Sequence[BenchMovie]) -> None:
        """Measure movies that are all alike."""
        if self._device != "cpu":
            self._measure_stages(movies[0])
        processes: tuple[Process, ...] = ("align", "worker")
        for process in processes if self._count else ():
            self._measure_sustained(movies, process)

    def _measure_stages(self, movie: BenchMovie) -> None:
        work = self._work / "device"
        try:
            found = measure_on_device(movie, self._device, work, threads=self._threads, environment=self._environment)
        except BenchmarkError as error:
            self.failures.append(f"{movie.label} on {self._device}: {error}")
            self._tell(self.failures[-1])
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self.on_device.append(found)
        self._tell(f"{movie.label}: on {self._device} {found.seconds_per_movie:.2f} s a movie")

    def _measure_sustained(self, movies: Sequence[BenchMovie], process: Process) -> None:
        found = sustain(
            movies,
            self._count,
            self._device,
            self._work / "sustained",
            process=process,
            threads=self._threads,
            environment=self._environment,
        )
        self.sustained.append(found)
        rate = "" if found.movies_per_hour is None else f", {found.movies_per_hour:.0f} movies an hour"
        where = f"in {_NAMES[process]} on {found.device}"
        self._tell(f"{found.preset}: {found.movies} in a row {where}{rate}{_because(found.failure)}")


def _because(failure: str | None) -> str:
    return "" if failure is None else f": failed: {failure}"
