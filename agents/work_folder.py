"""The folder that belongs to one agent: its journal, its lock, the outputs that wait to be sent."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from configuration import ConfigError


class WorkFolderTaken(ConfigError):
    """Another agent works in this folder."""

    exit_code: ClassVar[int] = 2
    hint = "One agent for each work folder: stop the other one, or give another --work."


def check_apart(work: Path, source: Path) -> None:
    """Make sure that nothing will be written into the source tree.

    Raises
    ------
    ConfigError
    """
    if work.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"the work folder {work} lies in the source {source}, where nothing may be written",
            hint="Give a --work elsewhere.",
        )


class WorkLock:
    """Holds a work folder as long as this process lives; the system frees it even after kill -9."""

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(work / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise WorkFolderTaken(f"{work} is in use by another agent (process {holder})") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def is_in_use(work: Path) -> bool:
    """Return whether an agent holds the folder now."""
    try:
        descriptor = os.open(work / "agent.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def free_bytes(work: Path) -> int:
    """Return how much space is left for the work folder."""
    return shutil.disk_usage(work).free
