"""Progress bars, one for each movie that is being processed; on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from preprocess.escaped_names import escaped

STAGES = ("read", "align", "sum", "ctf", "write")


class MovieBars:
    """Shows a bar for each movie, from its first progress until it is removed. Any thread may call it."""

    def __init__(self, console: Console, names: Mapping[Path, str]) -> None:
        self._labels = {
            movie: f"{number}/{len(names)} {escaped(name)}"
            for number, (movie, name) in enumerate(names.items(), start=1)
        }
        self._tasks: dict[Path, TaskID] = {}
        self._lock = Lock()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[stage]:5}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            redirect_stdout=False,  # results on stdout would come out on stderr
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, movie: Path, stage: str, fraction: float) -> None:
        """Move a movie's bar."""
        with self._lock:
            if movie not in self._tasks:
                self._tasks[movie] = self._progress.add_task(self._labels[movie], total=len(STAGES), stage="")
        self._progress.update(self._tasks[movie], completed=STAGES.index(stage) + fraction, stage=stage)

    def remove(self, movie: Path) -> None:
        """Remove the bar of a movie, if it has one."""
        with self._lock:
            task = self._tasks.pop(movie, None)
        if task is not None:
            self._progress.remove_task(task)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the bars while something else is written to the terminal."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()
