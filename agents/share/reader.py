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
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from agents.boundary import contained
from agents.finding.movie_inputs import MovieInputs, NamedInputs
from agents.finding.scan import Scan
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import InputKind
from agents.left_behind import LeftBehind
from agents.share.child import pickled, read_pickled
from agents.share_errors import ShareSilent
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.gains.need import JudgedCounts
from preprocess.layouts import Layout
from preprocess.movie_plan import MoviePlan

log = logging.getLogger(__name__)

SILENCE_S = 30.0
"""A share that does not answer for so long hangs."""
FIRST_PROBE_S, _LONGEST_PROBE_S = 5.0, 60.0
_PROBE_PAUSE_S = 1.0
_POLL_S = 0.1
_START_S = 60.0
"""How long the process may need to load its libraries, which are not on the share."""


class ShareReader:
    """The share, asked from a process of its own: a `SourceAccess`. Safe to use from several threads.

    After a request without an answer every request fails at once, until the share answers a probe: another process
    looks at the source's folder, and waits for that. One that waits too long (5 s, then twice as long each time, at
    most 60 s) is left behind, and the next one tries.

    Parameters
    ----------
    should_stop
        Whether the agent is stopping: no request waits then.
    silence_s
        How long to wait for an answer, or for a sign that a scan goes on, in seconds.
    first_probe_s
        How long the first probe may wait, in seconds.
    """

    def __init__(
        self,
        source: Path,
        layout: Layout,
        *,
        follow_links: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        silence_s: float = SILENCE_S,
        left_behind: LeftBehind | None = None,
        first_probe_s: float = FIRST_PROBE_S,
    ) -> None:
        self._begin = (source, layout, follow_links)
        self._should_stop, self._silence_s = should_stop, silence_s
        self._wake: Callable[[], None] = lambda: None
        self._left_behind = left_behind or LeftBehind()
        self._turn = threading.Lock()
        self._child: _Child | None = None
        self._first_probe_s = first_probe_s
        self._probing: threading.Thread | None = None
        self._is_closed = threading.Event()
        self._silent_since_s = 0.0
        self._at_rest: set[str] = set()

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
                found: Scan = self._answer_of(
                    child, "scan", wanted - self._at_rest, self._at_rest - wanted, set(mounts)
                )
                self._at_rest = wanted
        except ShareSilent as error:
            return Scan(missing_root=str(error.strerror))
        except (OSError, RuntimeError) as error:
            return Scan(missing_root=f"{self._begin[0]}: {getattr(error, 'strerror', None) or error}")
        return found

    def scan_all(self) -> Scan:
        """Walk the source, and list the files too that are no movies."""
        found: Scan = self._ask("scan_all")
        return found

    def identity(self, movie: Path) -> FileIdentity:
        """Return what identifies a movie's file now."""
        found: FileIdentity = self._ask("identity", movie)
        return found

    def missing_structure(self, movie: Path) -> str | None:
        """Return what is missing in a movie's structure; None when it is complete."""
        missing: str | None = self._ask("missing_structure", movie)
        return missing

    def inputs(self, movie: Path, named: NamedInputs) -> MovieInputs:
        """Return what a movie is to be aligned with, and whether that is there."""
        found: MovieInputs = self._ask("inputs", movie, named)
        return found

    def plan(self, movie: Path, chosen: ChosenAlignment) -> MoviePlan:
        """Return what would become of a movie, by headers and the files beside it alone."""
        plan: MoviePlan = self._ask("plan", movie, chosen)
        return plan

    def judged_counts(self, movie: Path) -> JudgedCounts:
        """Return whether a movie needs a gain reference."""
        judged: JudgedCounts = self._ask("judged_counts", movie)
        return judged

    def input_digest(self, kind: InputKind, path: Path, movie: Path) -> str | None:
        """Return the BLAKE3 digest of an input; None if it says nothing about the movie."""
        digest: str | None = self._ask("input_digest", kind, path, movie)
        return digest

    def check_readable(self, file: Path) -> None:
        """Read the beginning, the middle and the end of a file."""
        self._ask("check_readable", file)

    def close(self) -> None:
        """End the processes, or leave them behind."""
        self._is_closed.set()
        if self._probing is not None:
            self._probing.join()
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
        """Return the process; start one if none runs.

        Raises
        ------
        ShareSilent
        """
        if self._child is not None:
            return self._child
        if self._silent_since_s:
            raise ShareSilent(self._silent_since_s)
        self._child, self._at_rest = self._started(), set()
        return self._child

    def _started(self) -> _Child:
        child = _Child(self._event)
        child.send(self._begin)
        return child

    def _answer_of(self, child: _Child, *request: Any) -> Any:
        """Send a request and wait for its answer.

        Raises
        ------
        OSError
            What the share answered. ShareSilent: it did not answer.
        RuntimeError
            The question could not be answered for another reason.
        """
        began_s = time.time()
        child.send(request)
        answer = child.answer(self._silence_s, self._should_stop)
        if answer is None and self._should_stop():
            self._leave(child)
            raise ShareSilent(self._silent_since_s or began_s)
        if answer is None:
            raise self._silent(child, began_s)
        kind, *values = answer
        return self._understood(child, kind, values)

    def _understood(self, child: _Child, kind: str, values: list[Any]) -> Any:
        if kind == "ended":
            self._leave(child)
            raise OSError(None, "the process that reads the share ended unexpectedly; it is started again")
        if kind == "os-error":
            raise OSError(*values)
        if kind == "failed":
            raise RuntimeError(values[0])
        return values[0]

    def _silent(self, child: _Child, began_s: float) -> ShareSilent:
        """Leave the process behind, and probe from now on; return the error to raise."""
        self._leave(child)
        probing = threading.Thread(target=self._probe_until_answered, name="share probe", daemon=True)
        probing.start()
        self._silent_since_s, self._probing = began_s, probing
        return ShareSilent(began_s)

    def _probe_until_answered(self) -> None:
        """Start one probe after another; the process that is answered gets the requests from then on."""
        wait_s = self._first_probe_s
        while not self._is_ending():
            if self._left_behind.may_start:
                child = contained(partial(self._answered_probe, wait_s), _no_probe)
                if child is not None:
                    with self._turn:
                        self._child, self._at_rest, self._silent_since_s = child, set(), 0.0
                    self._wake()
                    self._stay(child)
                    return
                wait_s = min(2 * wait_s, _LONGEST_PROBE_S)
            self._is_closed.wait(_PROBE_PAUSE_S)

    def _stay(self, child: _Child) -> None:
        """Wait for the end of a process that this thread started: Linux kills it when the thread ends."""
        while child.process.poll() is None and not self._is_closed.wait(_PROBE_PAUSE_S):
            continue

    def _answered_probe(self, wait_s: float) -> _Child | None:
        """Return a process that the share has answered, be it with an error; None: it has not answered in time."""
        child = self._started()
        child.send(("real_path",))
        answer = child.answer(wait_s, self._is_ending)
        if answer is not None and answer[0] != "ended":
            return child
        self._left_behind.end(child.process)
        return None

    def _is_ending(self) -> bool:
        return self._is_closed.is_set() or self._should_stop()

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
            stderr=subprocess.PIPE,
        )
        threading.Thread(target=self._read_all, args=(wake,), name="share", daemon=True).start()
        threading.Thread(target=self._pass_log_on, name="share log", daemon=True).start()

    def send(self, request: tuple[Any, ...]) -> None:
        """Send a request."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(pickled(request))
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended: `messages` says so

    def answer(self, silence_s: float, should_stop: Callable[[], bool]) -> tuple[Any, ...] | None:
        """Return the next answer; None: it said nothing for too long, or the agent is stopping."""
        alive_s = time.monotonic()
        while True:
            try:
                message = self.messages.get(timeout=_POLL_S)
            except queue.Empty:
                limit_s = silence_s if self.is_ready else max(_START_S, silence_s)
                if should_stop() or time.monotonic() - alive_s >= limit_s:
                    return None
                continue
            alive_s = time.monotonic()
            self.is_ready = True
            if message[0] not in ("ready", "progress"):
                return message

    def _read_all(self, wake: Callable[[], None]) -> None:
        stream = self.process.stdout
        assert stream is not None
        while (message := _message(stream)) is not None:
            if message[0] == "event":
                wake()
            else:
                self.messages.put(message)
        self.messages.put(("ended",))

    def _pass_log_on(self) -> None:
        """Write what the process logs. Its stderr is a pipe: one of ours would stay open while it is left behind."""
        stream = self.process.stderr
        assert stream is not None
        try:
            for line in stream:
                sys.stderr.write(line.decode(errors="backslashreplace"))
                sys.stderr.flush()
        except (OSError, ValueError):  # one of both was closed
            return


def _no_probe(error: Exception) -> None:
    log.debug("no process could be started that looks at the share: %s", error)


def _message(stream: IO[bytes]) -> tuple[Any, ...] | None:
    """Return the next message; None when there are no more."""
    try:
        message: tuple[Any, ...] | None = read_pickled(cast("BinaryIO", stream))
    except (OSError, ValueError):  # closed by this process
        return None
    return message
