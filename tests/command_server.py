"""Starts commands as copies of a process that has imported them all already: `python -m tests.command_server FD`.

Importing a command takes most of the processor time of a test that runs one. A copy (fork) is a process of its own in
every other respect: it has its own id, folder, environment, streams, signals and exit code, and can be killed.
`tests.command_process` is the other end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("transfer", "preprocess", "api", "agents", "benchmarks")
MOST_BYTES = 1 << 20
FDS = 4
"""Of a request: stdin, stdout, stderr, and where the process's id and its exit code are told."""


@dataclass
class Request:
    """What is to run, and the descriptors that came with it."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool
    fds: list[int]


def import_all() -> None:
    """Import all that a command may import, but what needs packages that are not installed."""
    for package in map(importlib.import_module, PACKAGES):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations." in found.name or found.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name and error.name.partition(".")[0] in PACKAGES:
                    raise


def serve(control: socket.socket) -> Request | None:
    """Copy this process for each request, until the other end is closed; in a copy, return the request."""
    running: dict[int, int] = {}
    woken, waking = socket.socketpair()
    for each in (woken, waking):
        each.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who run the tests
    while True:
        ready = select.select([control, woken], [], [])[0]
        if woken in ready:
            woken.recv(1 << 10)
            _tell_ends(running)
        if control in ready:
            message, fds, _, _ = socket.recv_fds(control, MOST_BYTES, FDS)
            if not message:
                return None
            told = json.loads(message)
            if "collect" in told:
                os.waitpid(told["collect"], 0)
                continue
            request = Request(**told, fds=fds)
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for each in (control, woken, waking):
                    each.close()
                for fd in running.values():
                    os.close(fd)
                return request
            running[child] = fds.pop()
            for fd in fds:
                os.close(fd)


def _tell_ends(running: dict[int, int]) -> None:
    """Tell the exit codes of those that have ended; they stay zombies until the other end wants no more of them."""
    for child in list(running):
        if (ended := os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            fd = running.pop(child)
            with contextlib.suppress(BrokenPipeError):  # the test did not wait for it
                os.write(fd, f"{code}\n".encode())
            os.close(fd)


def become(request: Request) -> None:
    """Make this copy the process that was asked for, and tell its id."""
    if request.new_session:
        os.setsid()
    for target, fd in enumerate(request.fds[:3]):
        os.dup2(fd, target)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = [request.module, *request.arguments]
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _text(fd, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.write(request.fds[3], f"{os.getpid()}\n".encode())
    for fd in request.fds:
        os.close(fd)


def _text(fd: int, like: Any) -> Any:
    """Return a stream of one of the three descriptors, as Python makes it at its start."""
    raw = open(fd, "rb" if fd == 0 else "wb", closefd=False)  # noqa: SIM115  # it lives as long as the process
    is_by_line = fd == 2 or os.isatty(fd)
    return io.TextIOWrapper(raw, encoding=like.encoding, errors=like.errors, line_buffering=is_by_line)


def main() -> None:
    """Import everything once, then run what is asked for."""
    control = socket.socket(fileno=int(sys.argv[1]))
    import_all()
    tasks = Path("/proc/self/task")
    assert threading.active_count() == 1, threading.enumerate()
    assert not tasks.exists() or len(list(tasks.iterdir())) == 1, "a copy has only the thread that copies"
    gc.collect()
    gc.freeze()  # or the collector writes into the memory that all copies share
    request = serve(control)
    if request is not None:
        become(request)
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
