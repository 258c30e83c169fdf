"""Agents as real processes, and what tests need around them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command_process import start_command
from tests.running import ROOT
from tests.waiting import wait_until

ACQUISITION = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "0.83")
QUICK = ("--settle-seconds", "0.3", "--scan-seconds", "0.2", "--work-reserve-bytes", "0", "--device", "cpu")
MODULE = "tests.agents.quick_agent"
COMMAND = (sys.executable, "-m", MODULE)
TIMEOUT_S = 60.0


def listing(source: Path) -> dict[str, tuple[int, int, int]]:
    """Return (mode, size, mtime) of everything below a folder, and of itself: what must not change."""
    paths = [source, *source.rglob("*")]
    return {
        str(path.relative_to(source)): (status.st_mode, status.st_size if path.is_file() else 0, status.st_mtime_ns)
        for path in paths
        if (status := path.stat())
    }


class AgentProcess:
    """`cryoferry watch --json` as a process with short pauses; its lines are read by a thread."""

    def __init__(self, source: Path, work: Path, url: str, token: str, *options: str) -> None:
        self.work = work
        self.lines: list[dict[str, Any]] = []
        self.log = work.with_suffix(".log")
        self._log_before = self.log.stat().st_size if self.log.exists() else 0
        watch = ("watch", str(source), "--work", str(work), "--to", url, "--session", "s", "--json")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self.log.open("a") as log:
            self.process = start_command(
                *watch,
                *QUICK,
                *ACQUISITION,
                *options,
                module=MODULE,
                environment={**os.environ, "CRYOFERRY_TOKEN": token, "PYTHONPATH": os.pathsep.join(paths)},
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def has_begun(self) -> bool:
        """Return whether it has announced what it watches."""
        with self.log.open("rb") as log:
            log.seek(self._log_before)
            return b"Watching" in log.read()

    def states(self) -> dict[str, tuple[str, int]]:
        """Return the newest (state, revision) of each movie."""
        return {line["movie"]: (line["state"], line["revision"]) for line in list(self.lines) if "movie" in line}

    def line(self, movie: str, state: str) -> dict[str, Any]:
        """Return the newest line that tells of a movie in that state."""
        return next(line for line in reversed(self.lines) if (line.get("movie"), line.get("state")) == (movie, state))

    def wait_for(self, *, revision: int = 1, **wanted: str) -> None:
        """Wait until movies (their names with _ for . and /) are in their states."""
        self.until(lambda: all(self._is(name, state, revision) for name, state in wanted.items()), str(wanted))

    def _is(self, name: str, state: str, revision: int) -> bool:
        told = {movie.replace(".", "_").replace("/", "_"): value for movie, value in self.states().items()}
        return told.get(name) == (state, revision)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; the log tells why it did not come."""
        wait_until(
            condition,
            lambda: f"{what}; the agent's states: {self.states()}; its log:\n{self.log.read_text()}",
            alive=lambda: self.process.poll() is None,
        )

    def wait(self) -> int:
        """Wait for its own end and return its exit code."""
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()


def lay(movie: Path, target: Path) -> None:
    """Put a copy of a movie where the microscope would."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(movie, target)


def make_movies(folder: Path) -> Path:
    """Write four movies, each of its own content: `0.tiff`, `1.mrc`, `2.tiff`, `3.tiff`."""
    for number in range(4):
        make_movie(folder, number)
    return folder


def make_movie(folder: Path, number: int) -> Path:
    """Write a movie of 256 px and 6 frames whose content and name are those of its number; every fourth is MRC."""
    from preprocess.simulation import SimulationSettings, simulate_movie

    movie = folder / f"{number}.{'mrc' if number % 4 == 1 else 'tiff'}"
    settings = SimulationSettings(height=256, width=256, frame_count=6, seed=number, motion_px=4, gain=False)
    simulate_movie(settings).write(movie)
    return movie


StartAgent = Callable[..., AgentProcess]
