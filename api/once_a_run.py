"""Has one process of a run log what each of them does, such as reading a renewed certificate."""

from __future__ import annotations

import logging
import threading

from transfer.disk.locks import FileLock

ONCE_A_RUN = {"once_a_run": True}
"""`extra` of a line that only one process of a receiver is to log."""


class OnceARun(logging.Filter):
    """Lets lines marked `ONCE_A_RUN` pass in the process that holds a lock; when it ends, in another one.

    Parameters
    ----------
    lock
        The same file in all processes of a receiver.
    """

    def __init__(self, lock: FileLock) -> None:
        super().__init__()
        self._file = lock
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this process logs the line."""
        if not getattr(record, "once_a_run", False):
            return True
        with self._lock:
            try:
                return self._file.try_acquire()
            except OSError:  # the disk fails: better twice than never
                return True
