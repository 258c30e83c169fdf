"""Alignment in a process of its own on this machine, which may die without ending the agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from agents.left_behind import LeftBehind
from agents.workers.contract import AlignmentFailure, AlignmentJob, DigestJob, FailureKind, MovieDigests
from agents.workers.jobs import processed_from_json
from preprocess.results import ProcessedMovie
from transfer.platform import is_pipe_readable

POLL_S = 0.2
TRIAL_TIMEOUT_S = 300.0
"""Kernels may be compiled first; a device that answers after this never will."""
_OF_WORKER = {
    "OPENBLAS_NUM_THREADS": "1",  # our own threads call BLAS
    "MALLOC_ARENA_MAX": "1",  # else glibc keeps what is freed in several places, about 0.1 GB more
}
"""Variables of the process, if the agent's environment does not set them."""
_END_S = 5.0

_STOPPED = AlignmentFailure(kind=FailureKind.STOPPED, reason="the agent is stopping")
_NONE_MORE = AlignmentFailure(
    kind=FailureKind.POSTPONED,
    reason="several workers hang while they read the share, so no other one is started",
    hint="The agent tries again by itself.",
)
_HUNG = AlignmentFailure(
    kind=FailureKind.HUNG,
    reason="the alignment took longer than --align-timeout and was ended",
    hint="Raise --align-timeout, or remove the movie from the source. `cryoferry retry --failed` aligns it again.",
)


class LocalProcessWorker:
    """One alignment process, started again after it died: an `AlignmentWorker`.

    Parameters
    ----------
    environment
        Variables that the process gets in addition to the agent's own, such as the GPU that it may use.
    left_behind
        The processes that were killed and have not ended.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, left_behind: LeftBehind | None = None) -> None:
        self._left_behind = left_behind or LeftBehind()
        self._environment = {**_OF_WORKER, **os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    @property
    def pid(self) -> int | None:
        """Return the process's id; None when no process runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process, so that it has loaded its libraries when the first job comes."""
        self._running()

    def align(
        self, job: AlignmentJob, should_stop: Callable[[], bool] = lambda: False
    ) -> ProcessedMovie | AlignmentFailure:
        """Align one movie; see `AlignmentWorker.align`.

        The process lives on after a result and after REFUSED, HELD_BACK and POSTPONED, unless its GPU has failed; the
        next job starts another one then, and after every other failure.
        """
        answer = self._ask({"align": job.as_json()}, job.timeout_s, should_stop)
        return answer if isinstance(answer, AlignmentFailure) else processed_from_json(answer["processed"])

    def digest(
        self, job: DigestJob, should_stop: Callable[[], bool] = lambda: False
    ) -> MovieDigests | AlignmentFailure:
        """Compute the digests of one movie; see `AlignmentWorker.digest`."""
        answer = self._ask({"digest": job.as_json()}, job.timeout_s, should_stop)
        return answer if isinstance(answer, AlignmentFailure) else MovieDigests.from_json(answer["digests"])

    def try_device(self, device: str, should_stop: Callable[[], bool] = lambda: False) -> AlignmentFailure | None:
        """Compute something small on a CUDA device; see `AlignmentWorker.try_device`."""
        self.close()
        answer = self._ask({"try": device}, TRIAL_TIMEOUT_S, should_stop)
        return answer if isinstance(answer, AlignmentFailure) else None

    def _ask(
        self, job: dict[str, Any], timeout_s: float, should_stop: Callable[[], bool]
    ) -> dict[str, Any] | AlignmentFailure:
        if self._process is None and not self._left_behind.may_start:
            return _NONE_MORE
        process = self._running()
        try:
            if process.stdin:
                process.stdin.write(json.dumps(job).encode() + b"\n")
                process.stdin.flush()
        except BrokenPipeError:
            return self._death()
        return self._answer(process, time.monotonic() + timeout_s, should_stop)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
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
        self, process: subprocess.Popen[bytes], deadline_s: float, should_stop: Callable[[], bool]
    ) -> dict[str, Any] | AlignmentFailure:
        descriptor = process.stdout.fileno() if process.stdout else -1
        while b"\n" not in self._received:
            if should_stop():
                self.close()
                return _STOPPED
            if time.monotonic() > deadline_s:
                self.close()
                return _HUNG
            if is_pipe_readable(descriptor, POLL_S):
                block = os.read(descriptor, 1 << 16)
                if not block:
                    return self._death()
                self._received += block
        line, _, self._received = self._received.partition(b"\n")
        return self._understood(json.loads(line))

    def _understood(self, answer: dict[str, Any]) -> dict[str, Any] | AlignmentFailure:
        # Last words tell of a defect of ours, which would happen again with the same movie. A process also ends by
        # itself when the device has failed: this movie waits, and the next one has a new process.
        if "last_words" in answer or answer.pop("ends", False):
            self.close()
        if answer.keys() & {"processed", "digests", "computes"}:
            return answer
        return AlignmentFailure.from_json(answer.get("failure") or answer["last_words"])

    def _death(self) -> AlignmentFailure:
        status = None
        if self._process is not None:
            try:
                status = self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                status = None
        self.close()
        return AlignmentFailure(
            kind=FailureKind.DIED,
            reason=f"the worker died: {_exit_text(status)}",
            hint="Signal 9 often means that the machine ran out of memory. The agent's log may say more. "
            "`cryoferry retry --failed` aligns it again.",
        )

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        self._left_behind.end(process)


def _exit_text(status: int | None) -> str:
    if status is None:
        return "it closed its output"
    if status < 0:
        return f"killed by signal {-status} ({signal.Signals(-status).name})"
    return f"exit status {status}"
