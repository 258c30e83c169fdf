"""Asks the share through a process that is left behind when the share does not answer."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from agents.finding.scan import Scan
from agents.journal.file_identity import FileIdentity
from agents.left_behind import LeftBehind
from agents.share.child import pickled, read_pickled
from agents.share_errors import ShareSilent

log = logging.getLogger(__name__)

SILENCE_S = 30.0
"""A share that does not answer for so long hangs."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
_POLL_S = 0.1
_START_S = 60.0
"""How long the process may need to load its libraries, which are not on the share."""


class ShareReader:
    """The share, asked from a process of its own: a `SourceAccess`. Safe to use from several threads.

    After a request without an answer every request fails at once, until it is time to try again: after 5 s, then after
    twice as long each time, at most 60 s.

    Parameters
    ----------
    should_stop
        Whether the agent is stopping: no request waits then.
    silence_s
        How long to wait for an answer, or for a sign that a scan goes on, in seconds.
    """

    def __init__(
        self,
        source: Path,
        layout: str,
        *,
        follow_links: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        silence_s: float = SILENCE_S,
        left_behind: LeftBehind | None = None,
    ) -> None:
        self._begin = (source, layout, follow_links)
        self._should_stop, self._silence_s = should_stop, silence_s
        self._wake: Callable[[], None] = lambda: None
        self._left_behind = left_behind or LeftBehind()
        self._turn = threading.Lock()
        self._child: _Child | None = None
        self._silent_since_s = 0.0
        self._pause_s, self._next_try_s = _FIRST_PAUSE_S, 0.0
        self._at_rest: set[str] = set()
        self._sidecars: set[str] = set()
        self._gains: set[str] = set()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have a function called when something happens in the source."""
        self._wake = wake

    def real_path(self) -> str:
        """Return the source's path without links, after making sure that it is a folder that can be listed."""
        return str(self._ask("real_path"))

    def scan(self, at_rest: Collection[str], mounts: Collection[str] = ()) -> Scan:
        """Walk the source; a share that does not answer is the scan's `missing_root`."""
        try:
            with self._my_turn():
                child = self._running()
                wanted = set(at_rest)
                found, same_sidecars, same_gains = self._answer_of(
                    child, "scan", wanted - self._at_rest, self._at_rest - wanted, set(mounts)
                )
                self._at_rest = wanted
        except ShareSilent as error:
            return Scan(missing_root=str(error.strerror))
        except (OSError, RuntimeError) as error:
            return Scan(missing_root=f"{self._begin[0]}: {getattr(error, 'strerror', None) or error}")
        scan: Scan = found
        if same_sidecars:
            scan.sidecars = self._sidecars
        if same_gains:
            scan.gains = self._gains
        self._sidecars, self._gains = scan.sidecars, scan.gains
        return scan

    def identity(self, movie: Path) -> FileIdentity:
        """Return what identifies a movie's file now."""
        found: FileIdentity = self._ask("identity", movie)
        return found

    def missing_structure(self, movie: Path) -> str | None:
        """Return what is missing in a movie's structure; None when it is complete."""
        missing: str | None = self._ask("missing_structure", movie)
        return missing

    def gain(self, movie: Path) -> Path | None:
        """Return the gain reference that the layout finds for a movie."""
        found: Path | None = self._ask("gain", movie)
        return found

    def sidecars(self, movie: Path) -> list[Path]:
        """Return the files that may describe a movie."""
        found: list[Path] = self._ask("sidecars", movie)
        return found

    def check_readable(self, movie: Path) -> None:
        """Read the beginning, the middle and the end of a movie."""
        self._ask("check_readable", movie)

    def close(self) -> None:
        """End the process, or leave it behind."""
        child, self._child = self._child, None
        if child is not None:
            self._left_behind.end(child.process)

    # ---- one request at a time

    def _ask(self, *request: Any) -> Any:
        with self._my_turn():
            return self._answer_of(self._running(), *request)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        began_s = time.time()
        while not self._turn.acquire(timeout=_POLL_S):
            if self._should_stop():
                raise ShareSilent(self._silent_since_s or began_s)
        try:
            yield
        finally:
            self._turn.release()

    def _running(self) -> _Child:
        """Return the process; start one if it is time for that.

        Raises
        ------
        ShareSilent
        """
        if self._child is not None:
            return self._child
        is_early = time.monotonic() < self._next_try_s
        if self._silent_since_s and (is_early or self._should_stop() or not self._left_behind.may_start):
            raise ShareSilent(self._silent_since_s)
        self._child, self._at_rest = _Child(self._event), set()
        self._child.send(self._begin)
        return self._child

    def _answer_of(self, child: _Child, *request: Any) -> Any:
        """Send a request and wait for its answer.

        Raises
        ------
        OSError
            What the share answered. ShareSilent: it did not answer.
        RuntimeError
            The question could not be answered for another reason.
        """
        began_s, alive_s = time.time(), time.monotonic()
        child.send(request)
        while True:
            try:
                kind, *values = child.messages.get(timeout=_POLL_S)
            except queue.Empty:
                if self._should_stop():
                    self._leave(child)
                    raise ShareSilent(self._silent_since_s or began_s) from None
                limit_s = self._silence_s if child.is_ready else max(_START_S, self._silence_s)
                if time.monotonic() - alive_s >= limit_s:
                    raise self._silent(child, began_s) from None
                continue
            alive_s = time.monotonic()
            child.is_ready = True
            if kind not in ("ready", "progress"):
                return self._understood(child, kind, values)

    def _understood(self, child: _Child, kind: str, values: list[Any]) -> Any:
        if kind == "ended":
            self._leave(child)
            raise OSError(None, "the process that reads the share ended unexpectedly; it is started again")
        self._silent_since_s, self._pause_s = 0.0, _FIRST_PAUSE_S
        if kind == "os-error":
            raise OSError(*values)
        if kind == "failed":
            raise RuntimeError(values[0])
        return values[0]

    def _silent(self, child: _Child, began_s: float) -> ShareSilent:
        """Leave the process behind; return the error to raise."""
        self._silent_since_s = self._silent_since_s or began_s
        self._next_try_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._leave(child)
        return ShareSilent(self._silent_since_s)

    def _event(self) -> None:
        self._wake()

    def _leave(self, child: _Child) -> None:
        if self._child is child:
            self._child = None
        self._left_behind.end(child.process)


class _Child:
    """The process, and the thread that reads its messages."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.is_ready = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agents.share.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._read_all, args=(wake,), name="share", daemon=True).start()

    def send(self, request: tuple[Any, ...]) -> None:
        """Send a request."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(pickled(request))
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended: `messages` says so

    def _read_all(self, wake: Callable[[], None]) -> None:
        stream = self.process.stdout
        assert stream is not None
        while (message := _message(stream)) is not None:
            if message[0] == "event":
                wake()
            else:
                self.messages.put(message)
        self.messages.put(("ended",))


def _message(stream: IO[bytes]) -> tuple[Any, ...] | None:
    """Return the next message; None when there are no more."""
    try:
        message: tuple[Any, ...] | None = read_pickled(cast("BinaryIO", stream))
    except (OSError, ValueError):  # closed by this process
        return None
    return message
