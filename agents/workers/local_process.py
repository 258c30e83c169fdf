"""Alignment in a process of its own, which may die without taking the agent along."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.workers.jobs import processed_from_json, to_json
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.results import ProcessedMovie

POLL_S = 0.2
_END_S = 5.0


class AlignmentError(Exception):
    """The movie was not aligned."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class AlignmentRefused(AlignmentError):
    """The worker says why it cannot align this movie; `held_back`: a setting or a person can change that."""

    def __init__(self, kind: str, text: str, hint: str, *, held_back: bool = False) -> None:
        super().__init__(f"{kind}: {text}", hint)
        self.held_back = held_back


class AlignmentPostponed(AlignmentError):
    """The source, the disk or the device cannot do it just now."""


class WorkerDied(AlignmentError):
    """The worker died."""


class WorkerHung(AlignmentError):
    """The worker took too long and was ended."""


class AlignmentStopped(AlignmentError):
    """The agent is ending."""


class Worker:
    """One alignment process, started again after its death.

    Parameters
    ----------
    environment
        Variables that it gets on top of the agent's own, such as the GPU that is its own.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    @property
    def pid(self) -> int | None:
        """Return the process's id, if it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process, so that it has loaded its libraries when the first movie comes."""
        self._running()

    def align(
        self,
        movie: Path,
        out: Path,
        chosen: ChosenAlignment,
        *,
        timeout_s: float,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> ProcessedMovie:
        """Align a movie into the folder `out`.

        Raises
        ------
        AlignmentError
            One of its kinds; the worker is gone after all but AlignmentRefused and AlignmentPostponed.
        """
        process = self._running()
        job = json.dumps({"movie": str(movie), "out": str(out), "chosen": to_json(chosen)}) + "\n"
        try:
            if process.stdin:
                process.stdin.write(job.encode())
                process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        answer = self._answer(process, time.monotonic() + timeout_s, should_stop)
        if "processed" in answer:
            return processed_from_json(answer["processed"])
        if "failure" in answer:
            raise _told(**answer["failure"])
        if "last_words" in answer:  # a defect of ours, which would come again
            self.end()
            raise AlignmentRefused("unexpected", answer["last_words"], "Please report it, with the agent's log.")
        raise self._death()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._received = b""
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agents.workers.child", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
            )
        return self._process

    def _answer(
        self, process: subprocess.Popen[bytes], deadline: float, should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        descriptor = process.stdout.fileno() if process.stdout else -1
        while b"\n" not in self._received:
            if should_stop():
                self.end()
                raise AlignmentStopped("the agent is ending")
            if time.monotonic() > deadline:
                self.end()
                raise WorkerHung(
                    "the alignment took too long and was ended", "Raise --align-timeout, or leave the movie out."
                )
            if select.select([descriptor], [], [], POLL_S)[0]:
                block = os.read(descriptor, 1 << 16)
                if not block:
                    return {}
                self._received += block
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self) -> WorkerDied:
        status = None
        if self._process is not None:
            try:
                status = self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                status = None
        self.end()
        return WorkerDied(
            f"worker died: {_exit_text(status)}",
            "Killed by signal 9 is often the system's answer to too little memory; see also the agent's log.",
        )

    def end(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:  # a job that it had not read
                    continue


def _exit_text(status: int | None) -> str:
    if status is None:
        return "it closed its pipe"
    if status < 0:
        return f"killed by signal {-status} ({signal.Signals(-status).name})"
    return f"exit status {status}"


def _told(kind: str, text: str, hint: str, exit_code: int) -> AlignmentError:
    if exit_code == 5:
        return AlignmentPostponed(f"{kind}: {text}", hint)
    return AlignmentRefused(kind, text, hint, held_back=exit_code == 2)
