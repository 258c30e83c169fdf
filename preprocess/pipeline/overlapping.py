"""Many movies in one process, their stages overlapping: one is read while another is computed and a third written.

A stage has one thread, which takes the movies in their order; the result of a stage goes to the next. At most three
movies are in progress, one in each stage, and the frames of at most two are held (`held_places`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from preprocess.backends.contract import Backend
from preprocess.computed_movie import ComputedMovie
from preprocess.errors import DeviceOutOfMemory, PreprocessError
from preprocess.pipeline.falling_back import CANNOT, let_go_of_memory
from preprocess.pipeline.held_places import HeldPlaces, ProcessingStopped
from preprocess.pipeline.holding import HeldMovie
from preprocess.pipeline.memory import needed_memory
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.preparing import PreparedMovie
from preprocess.pipeline.process_movie import process_alone
from preprocess.pipeline.stage_timer import StageTimer
from preprocess.results import ProcessedMovie

ON_THEIR_WAY = 3
"""Movies, one in each stage."""

MovieProgress = Callable[[Path, str, float], None]
"""Called with the movie, its stage and the fraction of it that is done, from 0 to 1; in several threads at a time."""

_log = logging.getLogger(__name__)


def pays_on(backend: Backend) -> bool:
    """Return whether overlapping saves time: on a GPU, which would be idle while files are read.

    On the CPU every stage uses the same cores. Overlapping saves none of their time (8 movies of 1024 x 1024 x 24 on 2
    cores: 12.8 to 13.2 CPU seconds against 11.6 to 14.2), and two movies are held instead of one. It could only fill
    what a movie's single-threaded moments leave idle, and machines that align on the CPU have other work for that.
    """
    return backend.name != "cpu"


def process_movies(
    movie_paths: Iterable[Path], stages: MovieStages, progress: MovieProgress | None = None
) -> Generator[Future[ProcessedMovie]]:
    """Process movies as `process_movie` does, with overlapping stages; the outputs are the same bytes.

    Closing the iterator early, or an interrupt in the caller, ends what is in progress: reading and computing at
    their next step, writing when the movie's files are whole.

    Parameters
    ----------
    movie_paths : Iterable[Path]
        Asked for the next one only when a movie has come out.
    stages : MovieStages
        Settings, device and folder for all of them; their outputs must differ.

    Yields
    ------
    Future[ProcessedMovie]
        One for each movie, in order, each done: `result()` returns or raises what `process_movie` would.
    """
    overlapped = _Overlapped(stages, progress)
    remaining = iter(movie_paths)
    waiting = deque(overlapped.begin(path) for path in islice(remaining, ON_THEIR_WAY))
    try:
        while waiting:
            waiting[0].exception()  # waits
            yield waiting.popleft()
            waiting.extend(overlapped.begin(path) for path in islice(remaining, 1))
    finally:
        overlapped.stop()


class _Overlapped:
    """The three threads and what goes from one to the next."""

    def __init__(self, stages: MovieStages, progress: MovieProgress | None) -> None:
        self._stages = stages
        self._progress = progress
        self._places = HeldPlaces(stages.backend.available_bytes)
        self._reader, self._computer, self._writer = (
            ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("read", "compute", "write")
        )

    def begin(self, movie_path: Path) -> Future[ProcessedMovie]:
        """Put a movie on its way; return its end."""

        def report(stage: str, fraction: float) -> None:
            if self._places.stopped:
                raise ProcessingStopped
            if self._progress is not None:
                self._progress(movie_path, stage, fraction)

        timer = StageTimer(report)
        reading = self._reader.submit(self._read, movie_path, timer)
        computing = self._computer.submit(self._compute, reading, timer)
        return self._writer.submit(self._write, movie_path, computing, timer)

    def stop(self) -> None:
        """End everything that is on its way, and wait for that."""
        self._places.stop()
        for stage in (self._reader, self._computer, self._writer):
            stage.shutdown(cancel_futures=True)

    def _read(self, movie_path: Path, timer: StageTimer) -> tuple[PreparedMovie, HeldMovie]:
        prepared = self._stages.prepare(movie_path, timer)
        needed = needed_memory(prepared, self._stages.backend).usual
        alone = self._places.take(needed)
        with ExitStack() as on_error:
            on_error.callback(self._places.give_back, needed)
            on_error.push(_without_memory)  # runs before the line above
            if alone:
                self._stages.check_memory(prepared, self._stages.backend)
            held = self._stages.read(prepared, timer)
            on_error.pop_all()
        return prepared, held

    def _compute(self, reading: Future[tuple[PreparedMovie, HeldMovie]], timer: StageTimer) -> ComputedMovie:
        prepared, held = reading.result()
        with ExitStack() as afterwards:
            afterwards.callback(self._places.give_back, needed_memory(prepared, self._stages.backend).usual)
            afterwards.push(_without_memory)
            return self._stages.compute(prepared, held, timer)

    def _write(self, movie_path: Path, computing: Future[ComputedMovie], timer: StageTimer) -> ProcessedMovie:
        try:
            computed = computing.result()
        except CANNOT as error:
            reason: PreprocessError = error
        else:
            return self._stages.write(computed, timer)
        with self._places.alone():
            processed = process_alone(self._stages, self._stages.prepare(movie_path, timer), timer)
        if isinstance(reason, DeviceOutOfMemory) and processed.device == self._stages.backend.name:
            self._places.hold_one_at_a_time()
            _log.info("%s: fits the device only alone; movies are read one after the other from here", movie_path.name)
        return processed


def _without_memory(_kind: object, error: BaseException | None, _trace: object) -> None:
    """Let an error, if there is one, go on without the frames and images that it would keep alive."""
    let_go_of_memory(error)
