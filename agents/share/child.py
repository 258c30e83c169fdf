"""The process that asks the share: it reads one request at a time from stdin and writes its messages to stdout.

Requests and messages are pickled tuples, each behind its length in 8 bytes. Both ends are this program. It may hang in
the kernel at any instant; then the agent leaves it behind. It ends when its stdin is closed or its parent dies.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from agents.boundary import contained
from agents.finding.scan import Hints, Scan
from agents.finding.source_access import DirectAccess
from agents.share_errors import error_of_share
from preprocess.layouts import Layout
from transfer.platform import end_with_parent

_LENGTH = struct.Struct("<Q")
_PROGRESS_S = 1.0


class Messages:
    """Writes messages to the agent; safe to use from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._said_s = 0.0
        self._is_event_known = False

    def answer(self, *message: Any) -> None:
        """Send an answer."""
        self._write(message)
        self._is_event_known = False

    def progress(self) -> None:
        """Say that a request goes on, at most once a second."""
        now_s = time.monotonic()
        if now_s - self._said_s >= _PROGRESS_S:
            self._said_s = now_s
            self._write(("progress",))

    def event(self) -> None:
        """Say that something happened in the source, once between two answers."""
        if not self._is_event_known:
            self._is_event_known = True
            self._write(("event",))

    def _write(self, message: tuple[Any, ...]) -> None:
        content = pickled(message)
        with self._lock:
            self._stream.write(content)
            self._stream.flush()


class Answers:
    """Answers the requests of one agent; what does not change is not sent again."""

    def __init__(self, source: Path, layout: Layout, messages: Messages, *, follow_links: bool) -> None:
        self._messages = messages
        self._access = DirectAccess(source, layout, follow_links=follow_links, on_progress=messages.progress)
        self._at_rest: set[str] = set()

    def scan(self, new_at_rest: set[str], moving: set[str], mounts: set[str]) -> Scan:
        """Walk the source."""
        self._at_rest = (self._at_rest | new_at_rest) - moving
        return self._access.scan(self._at_rest, mounts)

    def ask(self, question: str, *arguments: Any) -> Any:
        """Answer a question of `SourceAccess`, or a scan."""
        asked = self.scan if question == "scan" else getattr(self._access, question)
        return asked(*arguments)


def _failure(error: Exception) -> tuple[Any, ...]:
    of_share = error_of_share(error) or (error if isinstance(error, OSError) else None)
    if of_share is not None:
        return "os-error", of_share.errno, of_share.strerror or str(of_share), of_share.filename
    return "failed", f"{type(error).__name__}: {error}"


def read_pickled(stream: BinaryIO) -> Any | None:
    """Return the next object that the other end wrote; None if it has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (count,) = _LENGTH.unpack(head)
    content = stream.read(count)
    return pickle.loads(content) if len(content) == count else None  # noqa: S301  # this program wrote it


def pickled(value: object) -> bytes:
    """Return an object as `read_pickled` reads it."""
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


def main() -> None:
    """Answer requests until stdin is closed."""
    end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the agent, which ends this process
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    messages = Messages(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what a library prints goes to the log
    requests = sys.stdin.buffer
    source, layout, follow_links = read_pickled(requests) or os._exit(0)
    answers = Answers(source, layout, messages, follow_links=follow_links)
    threading.Thread(target=Hints(source, messages.event).start, daemon=True).start()  # it looks at every folder
    messages.answer("ready")
    while (request := read_pickled(requests)) is not None:
        answer = partial(answers.ask, *request)
        messages.answer(*contained(partial(_done, answer), _failure))
    os._exit(0)  # whatever its other threads wait for


def _done(answer: Callable[[], Any]) -> tuple[Any, ...]:
    return "done", answer()


if __name__ == "__main__":
    main()
