"""Finds movies. A periodic scan decides; file events only start it earlier. Nothing is written to the source."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agents.journal.file_identity import FileIdentity
from agents.layouts import A_REFERENCE, Layout

log = logging.getLogger(__name__)

LOOKS_AT_REST = 2000
"""About so many movies at rest are looked at by one walk. All of 50 000 have had their turn after 26 walks."""


@dataclass(slots=True)
class Scan:
    """One walk through the source.

    Paths are relative to the source, with `/` between folders; `skipped` and `unreadable` say why. `sidecars` are what
    may describe a movie, `gains` what may be a gain reference. `missing_root` says why the source as a whole could not
    be read; then nothing else can be concluded from the walk. A movie at rest is in it only if it was its turn.
    """

    movies: dict[str, FileIdentity] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    sidecars: set[str] = field(default_factory=set)
    gains: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    missing_root: str = ""

    def is_gone(self, movie: str) -> bool:
        """Return whether a movie that was known before is deleted, as far as this walk could see."""
        if self.missing_root or movie in self.movies:
            return False
        return not any(movie == folder or movie.startswith(f"{folder}/") for folder in self.unreadable)


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder's names mean; they are judged anew only when one came or went."""

    names: list[str]
    movies: frozenset[str]
    skipped: dict[str, str]
    sidecars: frozenset[str]
    gains: frozenset[str]
    folders: tuple[str, ...]


class _DueMovies:
    """Decides which movies one walk looks at: those at rest take turns, by a number that each keeps."""

    def __init__(self, at_rest: Collection[str], walk: int) -> None:
        self._at_rest, self._walk = at_rest, walk
        self._rounds = 1 + len(at_rest) // LOOKS_AT_REST

    def __call__(self, movie: str) -> bool:
        return movie not in self._at_rest or (hash(movie) + self._walk) % self._rounds == 0


class Scanner:
    """Walks a source; symbolic links to folders are not followed, hidden folders not entered.

    Keeps in mind what names mean, never what files are: each movie is looked at by each walk. Movies at rest take
    turns, so that a walk through a long session looks at few of them.
    """

    def __init__(self, source: Path, layout: Layout) -> None:
        self._source, self._layout = source, layout
        self._folders: dict[str, _Folder] = {}
        self._walks = 0

    def scan(self, at_rest: Collection[str] = ()) -> Scan:
        """Walk the source once.

        Parameters
        ----------
        at_rest
            Movies that need not be looked at by each walk: about `LOOKS_AT_REST` of them are looked at.
        """
        self._walks += 1
        is_due = _DueMovies(at_rest, self._walks)
        result = Scan()
        seen: dict[str, _Folder] = {}
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self._source / folder) as found:
                    entries = list(found)
            except OSError as error:
                if not folder:
                    result.missing_root = f"{self._source}: {error.strerror or error}"
                    return result
                result.unreadable[folder] = error.strerror or str(error)
                continue
            seen[folder] = judged = self._judged(folder, entries)
            waiting += judged.folders
            result.skipped |= judged.skipped
            result.sidecars |= judged.sidecars
            result.gains |= judged.gains
            self._look_at(folder, entries, judged.movies, is_due, result)
        if result.unreadable and not self._source.is_dir():  # the share dropped out during the walk
            result.missing_root = f"{self._source}: {os.strerror(errno.ENOTCONN)}"
        self._folders = seen
        return result

    def _judged(self, folder: str, entries: list[os.DirEntry[str]]) -> _Folder:
        names = [entry.name for entry in entries]
        before = self._folders.get(folder)
        if before is not None and before.names == names:
            return before
        prefix = f"{folder}/" if folder else ""
        siblings = set(names)
        movies, skipped, folders = set[str](), dict[str, str](), list[str]()
        for entry in entries:
            if _is_folder(entry):
                if not entry.name.startswith("."):
                    folders.append(prefix + entry.name)
                continue
            why = self._layout.recognise(entry.name, siblings).not_a_movie
            if why or not _is_utf8(entry.name):
                skipped[prefix + entry.name] = why or "its name is not UTF-8; rename it"
            else:
                movies.add(entry.name)
        sidecars = frozenset(path for path in skipped if path.endswith((".xml", ".mdoc")))
        gains = frozenset(path for path, why in skipped.items() if why == A_REFERENCE or path.endswith(".gain"))
        return _Folder(names, frozenset(movies), skipped, sidecars, gains, tuple(folders))

    @staticmethod
    def _look_at(
        folder: str, entries: list[os.DirEntry[str]], movies: frozenset[str], is_due: _DueMovies, result: Scan
    ) -> None:
        prefix = f"{folder}/" if folder else ""
        for entry in entries:
            if entry.name not in movies or not is_due(prefix + entry.name):
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue  # deleted since it was listed, or a link to nothing
            except OSError as error:
                result.unreadable[prefix + entry.name] = error.strerror or str(error)
                continue
            if stat.S_ISREG(status.st_mode):
                result.movies[prefix + entry.name] = FileIdentity.of(status)


def scan(source: Path, layout: Layout) -> Scan:
    """Walk a source once; see `Scanner`."""
    return Scanner(source, layout).scan()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # some file systems know only by asking, and may not say


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Hints:
    """Calls `wake` for each file event in the source. Without events the periodic scan finds everything later."""

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
