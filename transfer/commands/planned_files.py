"""Finds the files to send or to compare, and the name that each has in its session."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from transfer.pace.pacer import Priority
from transfer.upload.file_to_send import FileToSend
from transfer.wire.errors import BadName, SourceUnreadable
from transfer.wire.names import check_path


def plan(
    sources: list[Path], session: str, prefix: str, revision: int, *, background: tuple[str, ...] = ()
) -> list[FileToSend]:
    """Return what to send under which names; files below a folder keep their paths, hidden ones stay behind.

    Names that match a pattern of `background` go in the background, after all others.
    Of both, the newest go first.

    Raises
    ------
    SourceUnreadable
        Something that was named is not there.
    BadName
        A name that cannot travel, or two files of one name.
    """
    planned: dict[str, FileToSend] = {}
    for source, relative in _files(sources):
        path = check_path(f"{prefix.strip('/')}/{relative}" if prefix.strip("/") else relative)
        if path in planned:
            raise BadName(
                f"{planned[path].source} and {source} would both be named {path}",
                hint="Send them apart, each with a --path-prefix of its own.",
            )
        in_background = any(fnmatch(source.name, pattern) for pattern in background)
        priority = Priority.BACKGROUND if in_background else Priority.FOREGROUND
        planned[path] = FileToSend(source, session, path, revision, priority=priority)
    return sorted(planned.values(), key=lambda file: (file.priority, -_written_ns(file.source), file.path))


def _written_ns(source: Path) -> int:
    try:
        return source.stat().st_mtime_ns
    except OSError as error:
        raise SourceUnreadable(f"{source}: {error.strerror}") from error


def _files(sources: list[Path]) -> Iterator[tuple[Path, str]]:
    for source in sources:
        if not source.exists():
            raise SourceUnreadable(f"{source}: there is no such file or folder")
        if not source.is_dir():
            yield source, source.name
            continue
        top = source.resolve()
        for file in sorted(top.rglob("*")):
            relative = file.relative_to(top)
            if not file.is_dir() and not any(part.startswith(".") for part in relative.parts):
                yield file, f"{top.name}/{relative.as_posix()}"
