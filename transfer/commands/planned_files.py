"""Finds the files to send or to compare, and the name that each has in its session."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from transfer.commands.folder_walk import LeftOut, walk, why_not_found
from transfer.pace.pacer import Priority
from transfer.source import FileNumber
from transfer.upload.file_to_send import FileToSend
from transfer.wire.errors import BadName, SourceUnreadable
from transfer.wire.names import check_path
from transfer.wire.remote_names import sent_path


def plan(
    sources: list[Path],
    session: str,
    prefix: str,
    revision: int,
    *,
    background: tuple[str, ...] = (),
    check_name: Callable[[str], str] = check_path,
    on_left_out: Callable[[LeftOut], None] = lambda _left_out: None,
) -> list[FileToSend]:
    """Return what to send under which names; files below a folder keep their paths, hidden ones stay behind.

    Parts of names that a receiver would refuse are escaped.

    Links are followed where they were named, and below a folder if they lead to something in that folder. What else
    lies there and cannot be sent is handed to `on_left_out`.

    Names that match a pattern of `background` go in the background, after all others.
    Of both, the newest go first. `check_name` refuses paths that a file of the session cannot have.

    Raises
    ------
    SourceUnreadable
        Something that was named is not there, or a folder cannot be read.
    BadName
        A name that cannot travel, or two files of one name.
    """
    planned: dict[str, FileToSend] = {}
    for source, relative, number in _files(sources, on_left_out):
        sent = sent_path(relative, check_name)
        path = check_name(f"{prefix.strip('/')}/{sent}" if prefix.strip("/") else sent)
        if path in planned:
            raise BadName(
                f"{planned[path].source} and {source} would both be named {path}",
                hint="Send them apart, each with a --path-prefix of its own.",
            )
        in_background = any(fnmatch(source.name, pattern) for pattern in background)
        priority = Priority.BACKGROUND if in_background else Priority.FOREGROUND
        planned[path] = FileToSend(source, session, path, revision, priority=priority, number=number)
    return sorted(planned.values(), key=lambda file: (file.priority, -_written_ns(file.source), file.path))


def _written_ns(source: Path) -> int:
    try:
        return source.stat().st_mtime_ns
    except OSError as error:
        raise SourceUnreadable(f"{source}: {error.strerror}") from error


def _files(
    sources: list[Path], on_left_out: Callable[[LeftOut], None]
) -> Iterator[tuple[Path, str, FileNumber | None]]:
    found_any = False
    for source in sources:
        try:
            is_folder = stat.S_ISDIR(source.stat().st_mode)
        except (OSError, RuntimeError) as error:
            if not source.is_symlink():
                raise SourceUnreadable(f"{source}: there is no such file or folder") from error
            on_left_out(LeftOut(source, why_not_found(source, error)))
            continue
        found_any = True
        if is_folder:
            yield from _files_below(source.resolve(), on_left_out)
        else:
            yield source, source.name, None
    if not found_any:
        raise SourceUnreadable(f"{', '.join(map(str, sources))}: links that lead to nothing; nothing was sent")


def _files_below(top: Path, on_left_out: Callable[[LeftOut], None]) -> Iterator[tuple[Path, str, FileNumber | None]]:
    for found in walk(top):
        if isinstance(found, LeftOut):
            on_left_out(found)
        else:
            yield found.path, f"{top.name}/{found.path.relative_to(top).as_posix()}", found.number
