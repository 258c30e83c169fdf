"""Processors, processes, pipes and sockets: the calls that exist only on some systems, and what replaces them.

`transfer.disk` holds those for files; `transfer.connections.tcp` those for TCP on Linux. The module can be imported
everywhere. Nobody has run the replacements on Windows; tests run some of them on Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PIPE_POLL_S = 0.02
_MALLOC_SETTINGS = {-8: 2, -3: 128 << 10, -1: 128 << 10}  # malloc.h: M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
_NO_LIMIT = 8192


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_files_limit() -> int:
    """Return how many files and sockets this process may have open, after raising that to what the system permits.

    Where the system has no such limit, or none that can be asked for, the answer is 8192.
    """
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:  # Windows
        return _NO_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else int(soft)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, process `parent`, ends. Only Linux can; elsewhere do nothing.

    If the parent has ended already, this process ends here with exit code 1.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)


def is_pipe_readable(descriptor: int, timeout_s: float) -> bool:
    """Wait for bytes in a pipe, or for its end; return False if neither came within `timeout_s`."""
    if os.name != "nt":
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    return _is_windows_pipe_readable(descriptor, timeout_s)


def _is_windows_pipe_readable(descriptor: int, timeout_s: float) -> bool:
    """Do what `is_pipe_readable` does where `select` takes sockets only; untried there."""
    msvcrt: Any = importlib.import_module("msvcrt")
    winapi: Any = importlib.import_module("_winapi")
    handle, deadline = msvcrt.get_osfhandle(descriptor), time.monotonic() + timeout_s
    while True:
        try:
            if winapi.PeekNamedPipe(handle, 0)[0]:
                return True
        except BrokenPipeError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_PIPE_POLL_S)


class Readiness(NamedTuple):
    """What a socket is ready for: `input` also when it was closed or has failed."""

    input: bool
    output: bool


class SocketWatch:
    """Waits until a connected socket can be read from or written to.

    Parameters
    ----------
    watched
        The socket.
    for_input, for_output
        What to wait for. That the socket fails or is closed is noticed in any case.
    """

    def __init__(self, watched: socket.socket, *, for_input: bool = False, for_output: bool = False) -> None:
        self._watched, self._for_input, self._for_output = watched, for_input, for_output
        self._poll = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(watched, (select.POLLIN if for_input else 0) | (select.POLLOUT if for_output else 0))

    def wait(self, timeout_s: float) -> Readiness | None:
        """Return what the socket is ready for; None if it is ready for nothing within `timeout_s`."""
        if self._poll is None:
            return self._select(timeout_s)
        events = self._poll.poll(timeout_s * 1000)
        if not events:
            return None
        seen = events[0][1]
        return Readiness(bool(seen & ~select.POLLOUT), bool(seen & select.POLLOUT))

    def _select(self, timeout_s: float) -> Readiness | None:
        """Do what `wait` does where there is no `poll`."""
        watched = [self._watched]
        to_read, to_write, failed = select.select(
            watched if self._for_input else [], watched if self._for_output else [], watched, timeout_s
        )
        if not to_read and not to_write and not failed:
            return None
        return Readiness(bool(to_read or failed), bool(to_write))


def on_hangup(action: Callable[[], None] | None) -> None:
    """Call a function when SIGHUP comes, which otherwise ends the process; None: do nothing then.

    Only the main thread may call this. A terminal that closes sends the signal. Not every system has it.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN if action is None else lambda _signal, _frame: action())


def give_freed_memory_back() -> None:
    """Have the C library give memory that was freed back to the system, instead of keeping it for each thread.

    Only glibc has these settings (mallopt(3)). Call it before the first thread starts.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for setting, value in _MALLOC_SETTINGS.items():
            mallopt(setting, value)
