"""The process that aligns: one JSON job a line on stdin, one JSON answer a line on what was stdout.

It may die at any instant (out of memory, a killed GPU driver) without taking the agent along, and it never outlives
the agent: the kernel kills it with its parent (Linux), and it ends when its stdin does.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from agents.workers.jobs import from_json, processed_to_json
from preprocess.errors import PreprocessError
from preprocess.pipeline.process_movie import process_movie

_PR_SET_PDEATHSIG = 1
_SOURCE_GONE = frozenset({errno.ENOTCONN, errno.EIO, errno.ESTALE, errno.EHOSTDOWN, errno.ENODEV})
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def _align(job: dict[str, Any]) -> dict[str, Any]:
    movie, chosen = Path(job["movie"]), from_json(job["chosen"])
    try:
        processed = process_movie(
            movie,
            Path(job["out"]),
            settings=chosen.settings,
            acquisition=chosen.flags,
            configured=chosen.configured,
        )
    except PreprocessError as error:
        return _failure(type(error).__name__, str(error), error.hint, error.exit_code)
    except MemoryError:
        return _failure("MemoryError", "not enough memory for this movie", "Give the worker more memory.", 5)
    except OSError as error:
        later = error.errno in _SOURCE_GONE | _NO_SPACE
        hint = "It is tried again by itself." if later else "Check the movie and the work folder."
        return _failure(type(error).__name__, str(error), hint, 5 if later else 1)
    return {"processed": processed_to_json(processed)}


def _failure(kind: str, text: str, hint: str, exit_code: int) -> dict[str, Any]:
    return {"failure": {"kind": kind, "text": text, "hint": hint, "exit_code": exit_code}}


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def _read_jobs(jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        jobs.put(json.loads(line))
    os._exit(0)


def _answer(replies: BinaryIO, answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer).encode() + b"\n")
    replies.flush()


def main() -> None:
    """Align what stdin asks for until it ends."""
    _die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the agent, which ends its workers
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log

    def last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        _answer(replies, {"last_words": f"{kind.__name__}: {error}"})
        os._exit(1)

    sys.excepthook = last_words
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        _answer(replies, _align(jobs.get()))


if __name__ == "__main__":
    main()
