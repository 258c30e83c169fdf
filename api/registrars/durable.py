"""Files that are complete on the disk before anybody sees them under their name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_file(path: Path, write: Callable[[Path], None]) -> None:
    """Make a file: `write` fills it under a temporary name, then it is synced and takes its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    write(temporary)
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def make_link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link that leads to `target` by a relative way; an existing one is replaced in one step."""
    way = os.path.relpath(target, path.parent)
    if path.is_symlink() and os.readlink(path) == way:  # noqa: PTH115 - Path.readlink normalizes
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(way)
    temporary.replace(path)
    sync_folder(path.parent)
