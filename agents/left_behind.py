"""Ends processes that may hang in the kernel: one that waits for a share outlives even SIGKILL until that answers."""

from __future__ import annotations

import logging
import subprocess
import threading

log = logging.getLogger(__name__)

_END_S = 1.0
MOST = 4
"""At most so many processes are left behind; no other is started before one of them has ended."""


class LeftBehind:
    """The processes that were killed and have not ended; safe to use from several threads.

    A thread waits for each of them, so that none stays a zombie and none of its pipes stays open.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def may_start(self) -> bool:
        """Whether so few processes are left behind that another one may be started."""
        return len(self.pids) < MOST

    @property
    def pids(self) -> list[int]:
        """The processes that are left behind now."""
        with self._lock:
            return [process.pid for process in self._processes]

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process. If it does not end at once, leave it behind."""
        process.kill()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            log.warning("process %d waits for the share and cannot be ended; it is left behind", process.pid)
            with self._lock:
                self._processes.append(process)
            threading.Thread(target=self._wait_for, args=(process,), name="left behind", daemon=True).start()
            return  # closing its pipes would wait for it too
        _close_pipes(process)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        _close_pipes(process)
        with self._lock:
            self._processes.remove(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # what the process had not read
                continue
