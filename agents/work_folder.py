"""The folder that belongs to one agent: its journal, its lock, the outputs that wait to be sent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from configuration import ConfigError
from transfer.disk.locks import FileLock, is_locked
from transfer.disk.state import why_not_writable

_LEAST_BYTES = 64 << 10
"""With less free space than this a journal cannot be written."""


class WorkFolderTaken(ConfigError):
    """Another agent works in this folder."""

    exit_code: ClassVar[int] = 2
    hint = "One agent for each work folder: stop the other one, or give another --work."


def check_apart(work: Path, source: Path) -> None:
    """Make sure that nothing will be written into the source tree, whose path has no links.

    Raises
    ------
    ConfigError
    """
    if work.resolve().is_relative_to(source):
        raise ConfigError(
            f"the work folder {work} lies in the source {source}, where nothing may be written",
            hint="Give a --work elsewhere.",
        )


class WorkLock:
    """Holds a work folder as long as this process lives; the system frees it even after kill -9."""

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(work / "agent.lock")
        if not self._lock.try_acquire():
            holder = self._lock.path.read_text("utf-8", "replace").strip() or "unknown"
            raise WorkFolderTaken(f"{work} is in use by another agent (process {holder})")
        self._lock.path.write_text(f"{os.getpid()}\n", "ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def is_in_use(work: Path) -> bool:
    """Return whether an agent holds the folder now."""
    try:
        return is_locked(work / "agent.lock")
    except OSError:
        return False


def free_bytes(work: Path) -> int:
    """Return how much space is left for the work folder."""
    return shutil.disk_usage(work).free


def disk_trouble(work: Path) -> str:
    """Return why nothing can be written to the work folder's disk now, for people; empty: it is not known to fail."""
    return why_not_writable(work, _LEAST_BYTES)
