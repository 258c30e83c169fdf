"""The calls that only some systems offer: cores, memory, running processes, durable files, holes of files.

No other module of `preprocess` makes them. The module can be imported everywhere; it has never been run on Windows.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from pathlib import Path
from typing import Any, BinaryIO


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_bytes() -> int | None:
    """Return how much memory the system and the control group still allow this process; None: unknown."""
    limits = []
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            texts = [(Path("/sys/fs/cgroup") / name).read_text("ascii").strip() for name in (limit, used)]
        except OSError:
            continue
        if all(text.isdigit() for text in texts):
            limits.append(max(0, int(texts[0]) - int(texts[1])))
    return min(limits, default=None)


_GIVING_BACK = {-4: 65536, -3: 4 << 20, -1: 4 << 20}  # malloc.h: M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


class _HeapFigures(ctypes.Structure):
    """What glibc's mallinfo2(3) returns."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    ]


def kept_bytes() -> int:
    """Return about how much memory the C library keeps that this process has freed; 0 where it does not tell.

    Not more than what is resident and not in use: memory that has gone back to the system is no longer kept, although
    glibc goes on counting it as free.
    """
    heap_figures = _libc_function("mallinfo2")
    if heap_figures is None:
        return 0
    heap_figures.restype = _HeapFigures
    heap = heap_figures()
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    resident = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
    return max(0, min(int(heap.fordblks), resident - int(heap.uordblks)))


def stop_keeping_memory() -> None:
    """Give memory that the C library keeps back to the system, and have it give back what is freed from now on.

    A process that keeps its memory takes more than one movie needs: arrays of the next one may lie elsewhere.
    """
    trim, set_option = _libc_function("malloc_trim"), _libc_function("mallopt")
    if trim is None or set_option is None:
        return
    for option, value in _GIVING_BACK.items():
        set_option(option, value)
    trim.argtypes = [ctypes.c_size_t]
    trim(0)


def _libc_function(name: str) -> Any:
    """Return a function of the C library; None where it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def is_running(process: int) -> bool:
    """Return whether a process of that id runs. On Windows, where no harmless signal exists, always True."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync(path: Path) -> None:
    """Wait until a file, or a folder's entries, are on the disk. Windows cannot sync a folder; there it does nothing.

    Raises
    ------
    OSError
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def user_number() -> int:
    """Return the number of the user whom this process runs as; 0 where users have none."""
    return os.getuid() if hasattr(os, "getuid") else 0


def is_ours_alone(status: os.stat_result) -> bool:
    """Return whether a folder belongs to this user or to root, and only its group may write to it besides."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & stat.S_IWOTH


OPEN_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""A flag for os.open: a pipe that nobody writes to is opened at once."""
_MOST_HOLES = 256
_NO_DATA = -1


def known_holes(file: BinaryIO, size: int) -> list[tuple[int, int]]:
    """Return where a file has no data, as begin and end, the longest first; nothing where the system does not tell.

    Space that was only set aside for the file counts as a hole until it is written.
    """
    try:
        descriptor, to_hole, to_data = file.fileno(), os.SEEK_HOLE, os.SEEK_DATA
    except (AttributeError, OSError):
        return []
    holes: list[tuple[int, int]] = []
    data = 0
    while data < size and len(holes) < _MOST_HOLES:
        hole = _sought(descriptor, data, to_hole)
        if hole == _NO_DATA or hole >= size:
            break
        data = _sought(descriptor, hole, to_data)
        if data == _NO_DATA:
            data = size
        holes.append((hole, data))
    return sorted(holes, key=lambda each: each[0] - each[1])


def _sought(descriptor: int, offset: int, whence: int) -> int:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError:  # no data behind it (ENXIO), or the file system does not know
        return _NO_DATA
