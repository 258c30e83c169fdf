"""The process that aligns: it reads one JSON job a line from stdin and writes one JSON answer a line to stdout.

It may die at any instant, for example because memory ran out, and the agent goes on. It never outlives the agent: the
kernel kills it when its parent dies (Linux), and it ends when its stdin is closed.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from agents.share_errors import error_of_share
from agents.workers.contract import AlignmentFailure, AlignmentJob, DigestJob, FailureKind
from agents.workers.digests import digest_of, digests_of_movie, movie_digest, with_digests
from agents.workers.jobs import from_json, orientation_of, orientations_from_json, processed_to_json
from preprocess.errors import (
    DeviceError,
    DeviceLacksFeature,
    DeviceLost,
    DeviceOutOfMemory,
    KernelNotCompiled,
    PreprocessError,
)
from preprocess.lost_devices import LOST
from preprocess.memory_pool import pool_of_process
from preprocess.pipeline.gain_orientations import GainOrientations, GainOrientationUnsure
from preprocess.pipeline.process_movie import process_movie
from preprocess.sidecars import find_sidecars
from transfer.disk.state import is_full
from transfer.machine_limits import denial_of
from transfer.platform import end_with_parent
from transfer.terminal.streams import escape_outputs

_WORK_FOLDER = frozenset({errno.EROFS, errno.EFBIG})  # a worker writes nowhere else
_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_AGAIN = "The agent tries again by itself."
_KEEPS_MEMORY_S = 60.0
"""For so long after a movie its memory is kept for the next one."""
_KINDS = {2: FailureKind.HELD_BACK, 5: FailureKind.POSTPONED}  # by a PreprocessError's exit code


def _align(job: AlignmentJob) -> dict[str, Any]:
    chosen = from_json(job.settings)

    def align() -> dict[str, Any]:
        digest = job.movie_digest or movie_digest(Path(job.movie))  # read once now; the alignment reads it from memory
        movie = Path(job.movie)
        processed = process_movie(
            movie,
            Path(job.outputs),
            settings=chosen.settings,
            acquisition=chosen.flags,
            configured=chosen.configured,
            orientations=GainOrientations(session=orientations_from_json(job.orientations), digest_of=digest_of),
        )
        return {
            "processed": processed_to_json(
                with_digests(processed, chosen.settings, digest, find_sidecars(movie), movie)
            )
        }

    return _answer_or_failure(align)


def _digest(job: DigestJob) -> dict[str, Any]:
    return _answer_or_failure(lambda: {"digests": digests_of_movie(job).as_json()})


def _try_device(device: str) -> dict[str, Any]:
    def computes() -> dict[str, Any]:
        from preprocess.backends.cuda.trial import require_right_results  # noqa: PLC0415 - for GPUs alone

        require_right_results(device)
        return {"computes": device}

    return _answer_or_failure(computes)


def _answer_or_failure(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except PreprocessError as error:
        if (of_share := error_of_share(error)) is not None:
            return _failure(FailureKind.POSTPONED, of_share, _AGAIN)
        return _failure_of_preprocessing(error)
    except MemoryError as error:
        return _failure(FailureKind.POSTPONED, error, "Give the worker more memory, or run fewer workers.")
    except OSError as error:
        return _failure_of_system(error)
    except (RuntimeError, ImportError) as error:
        if (denial := denial_of(error)) is None:
            raise
        return _failure(FailureKind.POSTPONED, error, f"{denial.what_to_do} {_AGAIN}")


def _failure_of_preprocessing(error: PreprocessError) -> dict[str, Any]:
    if _is_of_device(error):  # this process asks in vain, a new one may find it
        return _failure(FailureKind.POSTPONED, error, error.hint) | {"ends": True}
    kind = FailureKind.DEVICE_LOST if isinstance(error, DeviceLost) else _KINDS.get(error.exit_code)
    failure = _failure(kind or FailureKind.REFUSED, error, error.hint)
    if isinstance(error, GainOrientationUnsure):
        failure["failure"]["orientation"] = orientation_of(error)
    return failure


def _is_of_device(error: PreprocessError) -> bool:
    """Return whether a device is missing or cannot be used at all, whatever the movie; one that failed is apart."""
    if isinstance(error, DeviceOutOfMemory | DeviceLost):
        return False
    is_of_movie = isinstance(error, DeviceLacksFeature) and not isinstance(error, KernelNotCompiled)
    return isinstance(error, DeviceError) and not is_of_movie


def _failure_of_system(error: OSError) -> dict[str, Any]:
    if is_full(error) or error.errno in _WORK_FOLDER:
        return _failure(FailureKind.WORK_FOLDER, error, _AGAIN)
    if error_of_share(error) is not None or error.errno in _OWN_LIMITS:
        return _failure(FailureKind.POSTPONED, error, _AGAIN)
    return _failure(FailureKind.REFUSED, error, "Check that the movie and the work folder can be read and written.")


def _failure(kind: FailureKind, error: BaseException, hint: str) -> dict[str, Any]:
    text = str(error) or "not enough memory for this movie"  # a MemoryError often has no text
    return {"failure": AlignmentFailure(kind=kind, reason=f"{type(error).__name__}: {text}", hint=hint).as_json()}


def _do(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job: a movie to align, one whose digests are wanted, or a device to try."""
    if "try" in job:
        return _try_device(job["try"])
    if "digest" in job:
        return _digest(DigestJob.from_json(job["digest"]))
    return _align(AlignmentJob.from_json(job["align"]))


def _read_jobs(jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        jobs.put(json.loads(line))
    os._exit(0)


def _answer(replies: BinaryIO, answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer).encode() + b"\n")
    replies.flush()


def main() -> None:
    """Align what stdin asks for, until stdin is closed."""
    end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the agent, which ends its workers
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to the log
    escape_outputs()

    def last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        failure = AlignmentFailure(
            kind=FailureKind.REFUSED,
            reason=f"unexpected {kind.__name__}: {error}",
            hint="Please report this defect, with the agent's log.",
        )
        _answer(replies, {"last_words": failure.as_json()})
        os._exit(1)

    sys.excepthook = last_words
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        try:
            job = jobs.get(timeout=_KEEPS_MEMORY_S)
        except queue.Empty:
            pool_of_process().give_back()
            job = jobs.get()
        answer = _do(job)
        if LOST.any() or "ends" in answer:  # nothing more can be done on the device before another process begins
            _answer(replies, {**answer, "ends": True})
            os._exit(0)  # what libraries do at the end of a process may wait for the device for ever
        _answer(replies, answer)


if __name__ == "__main__":
    main()
