"""Finds movies: a periodic walk is the truth, file events only wake it early. Never writes to the source."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agents.layouts import Layout
from agents.settle import FileIdentity

log = logging.getLogger(__name__)

_ROOT_GONE = {errno.ENOENT, errno.ENOTCONN, errno.EIO, errno.ESTALE, errno.EHOSTDOWN, errno.ENODEV, errno.EACCES}


@dataclass(slots=True)
class Scan:
    """One walk through the source.

    Paths are relative to the source, with `/` between folders; `skipped` and `unreadable` say why. `sidecars` are what
    may describe a movie. `missing_root` says why the source as a whole could not be read; then nothing else can be
    concluded from the walk.
    """

    movies: dict[str, FileIdentity] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    sidecars: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    missing_root: str = ""

    def is_gone(self, movie: str) -> bool:
        """Return whether a movie that was known before is deleted, as far as this walk could see."""
        if self.missing_root or movie in self.movies:
            return False
        return not any(movie == folder or movie.startswith(f"{folder}/") for folder in self.unreadable)


def scan(source: Path, layout: Layout) -> Scan:
    """Walk the source once; symbolic links to folders are not followed, hidden folders not entered."""
    result = Scan()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(source / folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                result.missing_root = f"{source}: {error.strerror or error}"
                return result
            result.unreadable[folder] = error.strerror or str(error)
            continue
        names = {entry.name for entry in entries}
        prefix = f"{folder}/" if folder else ""
        for entry in entries:
            path = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        folders.append(path)
                else:
                    _take(entry, path, names, layout, result)
            except FileNotFoundError:
                continue  # deleted since it was listed
            except OSError as error:
                result.unreadable[path] = error.strerror or str(error)
    if result.unreadable and not source.is_dir():  # the share dropped out during the walk
        result.missing_root = f"{source}: {os.strerror(errno.ENOTCONN)}"
    return result


def _take(entry: os.DirEntry[str], path: str, siblings: set[str], layout: Layout, result: Scan) -> None:
    recognised = layout.recognise(entry.name, siblings)
    if not recognised.is_movie:
        result.skipped[path] = recognised.not_a_movie
        if path.endswith((".xml", ".mdoc")):
            result.sidecars.add(path)
        return
    try:
        path.encode()
    except UnicodeEncodeError:
        result.skipped[path] = "its name is not UTF-8; rename it"
        return
    status = entry.stat()
    if stat.S_ISREG(status.st_mode):
        result.movies[path] = FileIdentity.of(status)


class Hints:
    """File events of the source, which call `wake`; where the system gives none, nothing is lost but a little time."""

    def __init__(self, source: Path, wake: Callable[[], None]) -> None:
        class Waker(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type in ("created", "moved", "closed", "modified"):
                    wake()

        self._observer = Observer()
        self._handler = Waker()
        self._source = source
        self._started = False

    def start(self) -> None:
        """Begin to listen, if the system permits."""
        try:
            self._observer.schedule(self._handler, str(self._source), recursive=True)
            self._observer.start()
            self._started = True
        except OSError as error:  # inotify's limits, a share without events
            log.info("no file events from %s (%s); the periodic scan finds everything", self._source, error)

    def stop(self) -> None:
        """Stop listening."""
        if self._started:
            self._observer.stop()
            self._observer.join(timeout=5)
