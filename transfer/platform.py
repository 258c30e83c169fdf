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
from pathlib import Path
from typing import Any, NamedTuple

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PIPE_POLL_S = 0.02
_MALLOC_SETTINGS = {-8: 2, -3: 128 << 10, -1: 128 << 10}  # malloc.h: M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
_NO_LIMIT = 8192
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def address_space_bytes() -> int | None:
    """Return how many bytes of addresses this process may use (`ulimit -v`); None: no limit is known."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else int(limit)


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


def open_files_count() -> int:
    """Return how many files and sockets this process has open; 0 where the system does not tell."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError), os.scandir(folder) as found:
            return sum(1 for _ in found) - 1  # without the one that reads the folder
    return 0


def kill_group(leader: int) -> None:
    """Kill a process that leads a group, and all of its group; elsewhere than on POSIX systems the process alone."""
    if hasattr(os, "killpg"):
        os.killpg(leader, signal.SIGKILL)
    else:
        os.kill(leader, signal.SIGTERM)  # on Windows this ends it at once


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, process `parent`, ends. Only Linux can; elsewhere do nothing.

    If the parent has ended already, this process ends here with exit code 1. Signals that the parent blocks for itself
    (`SignalInbox`) reach this process again.
    """
    _block(_ENDING, is_blocked=False)
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


class SignalInbox:
    """SIGINT, SIGTERM and SIGHUP for one thread to take, whatever the other threads wait for.

    Python calls handlers in the main thread, between two of its steps: none runs while that thread waits in the system
    for a disk. Threads that start while the inbox is open block the signals, so that the system wakes the one that
    takes them. Only the main thread may open and close it.
    """

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._handlers_before = {number: signal.signal(number, lambda _number, _frame: None) for number in _ENDING}
        _block(_ENDING, is_blocked=True)

    def take(self, timeout_s: float | None) -> int | None:
        """Return the next signal; None if none came within `timeout_s`, or the inbox was closed.

        The thread that calls this is the one that the system wakes from now on.
        """
        _block(_ENDING, is_blocked=False)
        self._reading.settimeout(None if timeout_s is None else max(timeout_s, 0.001))
        try:
            numbers = self._reading.recv(1)
        except OSError:  # TimeoutError among them
            return None
        if not numbers:
            self._reading.close()
            return None
        return numbers[0]

    def close(self) -> None:
        """Give the signals back to the handlers that had them before; `take` returns."""
        _block(_ENDING, is_blocked=False)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._writing.close()


def _block(numbers: list[int], *, is_blocked: bool) -> None:
    """Block signals for the calling thread and those that it starts, or let them through; Windows has no such masks."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK if is_blocked else signal.SIG_UNBLOCK, numbers)


def memory_bytes() -> int:
    """Return the memory that this machine, or the container that this process runs in, may use."""
    found = []
    if hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))  # "max": no limit
    return min(found, default=1 << 33)


def give_freed_memory_back() -> None:
    """Have the C library give memory that was freed back to the system, instead of keeping it for each thread.

    Only glibc has these settings (mallopt(3)). Call it before the first thread starts.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for setting, value in _MALLOC_SETTINGS.items():
            mallopt(setting, value)
