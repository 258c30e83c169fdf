"""What a running program and its children take: CPU seconds and memory, read from /proc."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_INTERVAL_S = 0.2  # a look takes 2 ms of a processor that what is measured may want


def _status_of(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third on; the second, the name, may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None


def tree_of(root: int) -> dict[int, list[str]]:
    """Return the processes below `root`, itself too, each with its fields of /proc/PID/stat."""
    children: dict[int, list[int]] = {}
    fields: dict[int, list[str]] = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        if found := _status_of(pid):
            fields[pid] = found
            children.setdefault(int(found[1]), []).append(pid)
    tree, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in fields:
            tree[pid] = fields[pid]
            waiting += children.get(pid, [])
    return tree


def cpu_seconds(root: int) -> float:
    """Return the CPU time of a process and all its descendants, those that ended and were waited for included."""
    return sum(sum(map(int, fields[11:15])) for fields in tree_of(root).values()) / _TICKS_PER_S


class MemoryWatch:
    """Remembers the most that a process and its descendants had resident at one time, all together, in bytes.

    Parameters
    ----------
    root
        The process.
    descendants_only
        Leave out the process itself, which only waits for another.
    """

    def __init__(self, root: int, *, descendants_only: bool = False) -> None:
        self.peak_bytes = 0
        self._root, self._left_out = root, root if descendants_only else None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            tree = tree_of(self._root)
            pages = sum(int(fields[21]) for pid, fields in tree.items() if pid != self._left_out)
            self.peak_bytes = max(self.peak_bytes, pages * _PAGE_BYTES)
            if self._done.wait(_INTERVAL_S):
                return
