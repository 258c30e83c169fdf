"""The calls that only some systems offer: cores, memory, running processes, durable files, holes of files.

No other module of `preprocess` makes them. The module can be imported everywhere; it has never been run on Windows.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import mmap
import os
import platform
import stat
import sys
from pathlib import Path
from typing import BinaryIO

_OVERCOMMIT, _NEVER = Path("/proc/sys/vm/overcommit_memory"), "2"
"""Where Linux says whether it promises more memory than there is; with 2 it ignores MAP_NORESERVE (proc(5))."""
_KEEP_FREED = {-3: 8 << 20, -1: 24 << 20, -2: 1 << 20}  # malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD
_MAP_NORESERVE = 0x4000  # <asm/mman.h>; the mmap module names it since Python 3.13


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


def physical_bytes() -> int | None:
    """Return how much memory this machine has; None: unknown."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class AddressSpace:
    """Addresses without memory: the system adds memory where something is written, in huge pages if it has them."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self.buffer = buffer
        self.size_bytes = len(buffer)

    def give_back(self, begin: int, end: int) -> None:
        """Give the memory of a range back to the system; the range begins with a page."""
        self.buffer.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def keep_freed_memory() -> None:
    """Have the C library keep memory that was freed, up to 24 MB, for what is needed next.

    By default glibc gives each array of more than 128 kB back at once, and the system clears the pages of the next one
    again, which takes longer than many a calculation with it. Only glibc has these settings (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for setting, value in _KEEP_FREED.items():
            mallopt(setting, value)


def reserve_addresses(size_bytes: int) -> AddressSpace | None:
    """Return addresses for so much memory; None where the system has no such thing, or this process a limit on them."""
    if sys.platform != "linux" or _addresses_are_limited() or _addresses_count_as_memory():
        return None
    try:
        buffer = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    except (OSError, ValueError, OverflowError):  # the system promises no more memory than it has
        return None
    with contextlib.suppress(OSError):  # a kernel without huge pages
        buffer.madvise(mmap.MADV_HUGEPAGE)
    with contextlib.suppress(OSError):  # a dump of a process that crashed would be as large
        buffer.madvise(mmap.MADV_DONTDUMP)
    return AddressSpace(buffer)


def _addresses_are_limited() -> bool:
    import resource  # noqa: PLC0415 - not on Windows

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _addresses_count_as_memory() -> bool:
    """Return whether the system counts them as promised memory, so that other programs, and this one, get less."""
    try:
        return _OVERCOMMIT.read_text("ascii").strip() == _NEVER
    except OSError:
        return False


def is_running(process: int) -> bool:
    """Return whether a process of that id runs. On Windows, where no harmless signal exists, always True."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # no process has a number as large as that
        return False
    except PermissionError:
        return True
    return True


@functools.cache
def process_space() -> str:
    """Return a short name of what the numbers of processes hold in: this machine, or this container on it.

    Machines that write to one share have the same numbers for other processes.
    """
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


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
