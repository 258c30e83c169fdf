"""The calls that only some systems offer: processor cores, memory, running processes, durable files.

No other module of `preprocess` makes them. The module can be imported everywhere; it has never been run on Windows.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


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
