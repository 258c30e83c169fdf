"""Finds movies. A periodic scan decides; file events only start it earlier. Nothing is written to the source."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agents.boundary import contained
from agents.finding.known_contents import KnownContents
from agents.finding.links import ALIAS, LinkTarget, SourceLink, SourceLinks, Why, is_inside
from agents.finding.mounts import MountPoints
from agents.finding.skipped_note import Skipped
from agents.journal.file_identity import FileIdentity
from agents.journal.movie_names import movie_name
from preprocess.gains.reference_names import is_defect_file, is_gain
from preprocess.layouts import A_REFERENCE, Doubt, Layout
from preprocess.layouts.layout import is_gain_folder

log = logging.getLogger(__name__)

LOOKS_AT_REST = 2000
"""About so many movies at rest are looked at by one walk. All of 50 000 have had their turn after 26 walks."""


@dataclass(slots=True)
class Scan:
    """One walk through the source.

    Attributes
    ----------
    movies
        Movies by their names (`agents.journal.movie_names`). A movie at rest is here only if it was its turn.
    skipped
        Which files and folders were left out, apart from those in `named` and `unreadable`.
    named
        Those that a person should know by name, with the reason: links that are not followed, named pipes.
    targets
        Where the links in `named` lead to.
    others
        All files that are no movies, with the reason; empty unless the walk was asked for them.
    not_movies
        Files with a movie's name whose content says that they are none, with the reason; they count in `skipped` too.
    inputs
        What may describe a movie or be a gain reference, by name. One at rest is here only if it was its turn.
    unreadable
        What cannot be read, with the reason.
    missing_root
        Why the source as a whole could not be read; then nothing else can be concluded from the walk.
    mounts
        Folders where something is mounted, by their names ("" is the source), and the mount point above the source.
    is_empty
        Whether the source's own folder is empty.
    """

    movies: dict[str, FileIdentity] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)
    named: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    not_movies: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, FileIdentity] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    missing_root: str = ""
    mounts: set[str] = field(default_factory=set)
    is_empty: bool = False

    def skipped_by_name(self) -> dict[str, str]:
        """Return what a person should know by name, what cannot be read included, with the reason."""
        return {**self.named, **{path: f"cannot be read: {why}" for path, why in self.unreadable.items()}}

    def all_skipped(self, also: Mapping[str, str] | None = None) -> Skipped:
        """Return all that was left out.

        Parameters
        ----------
        also
            What was left out elsewhere, by name, with the reason.
        """
        skipped = Skipped()
        skipped.take_in(self.skipped)
        for path, why in sorted({**self.skipped_by_name(), **(also or {})}.items()):
            skipped.add(why, path)
        return skipped

    def is_gone(self, movie: str) -> bool:
        """Return whether a movie that was known before is deleted, as far as this walk could see."""
        if self.missing_root or movie in self.movies:
            return False
        if movie in self.unreadable:
            return False
        return not any(movie.startswith(f"{folder}/") for folder in (*self.unreadable, *self.named))


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder's names mean; they are judged anew only when one came or went, or a link became another one.

    `movies` has the movies' names by the files' names, and `doubts` what must be read of some of them. `folders` and
    the paths of `links` are as Python holds them.
    """

    names: list[str]
    movies: dict[str, str]
    doubts: dict[str, Doubt]
    links: dict[str, SourceLink]
    skipped: Skipped
    others: dict[str, str]
    inputs: dict[str, str]
    folders: tuple[str, ...]

    def still_holds(self, names: list[str], entries: list[os.DirEntry[str]]) -> bool:
        """Return whether nothing came or went, and each link is the same as before."""
        if self.names != names:
            return False
        return not self.links or all(
            entry.name not in self.links or self.links[entry.name].inode == entry.inode() for entry in entries
        )


class _DueMovies:
    """Decides which movies one walk looks at: those at rest take turns, by a number that each keeps."""

    def __init__(self, at_rest: Collection[str], walk: int) -> None:
        self._at_rest, self._walk = at_rest, walk
        self._rounds = 1 + len(at_rest) // LOOKS_AT_REST

    def __call__(self, movie: str) -> bool:
        return movie not in self._at_rest or (hash(movie) + self._walk) % self._rounds == 0


class Scanner:
    """Walks a source; hidden folders are not entered.

    Keeps in mind what names mean, never what files are: each movie is looked at by each walk. Movies at rest take
    turns, so that a walk through a long session looks at few of them.

    A link is followed if its target lies inside the source, and is not found there at its own place anyway.

    Parameters
    ----------
    follow_links
        Whether to follow links whose target lies outside of the source, too.
    on_progress
        Called for each folder and each movie that is looked at.
    """

    def __init__(
        self,
        source: Path,
        layout: Layout,
        *,
        follow_links: bool = False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._layout, self._follow_links = source, layout, follow_links
        self._on_progress = on_progress
        self._folders: dict[str, _Folder] = {}
        self._links, self._contents = SourceLinks(), KnownContents()
        self._walks = 0

    def scan(
        self, at_rest: Collection[str] = (), *, mounts: MountPoints | None = None, with_others: bool = False
    ) -> Scan:
        """Walk the source once.

        Parameters
        ----------
        at_rest
            Movies that need not be looked at by each walk: about `LOOKS_AT_REST` of them are looked at.
        mounts
            What was mounted in an earlier walk.
        with_others
            Whether to list all files that are no movies.
        """
        self._walks += 1
        self._links.begin()
        walk = _Walk(
            self._source, self._layout, self._folders, self._links, _DueMovies(at_rest, self._walks),
            follow_links=self._follow_links, mounts=mounts or MountPoints(), with_others=with_others,
            on_progress=self._on_progress, contents=self._contents,
        )  # fmt: skip
        result = walk.run()
        if not result.missing_root:
            self._folders = walk.seen
        return result


class _Walk:
    """One walk; `seen` is what it found out about the names in each folder."""

    def __init__(
        self,
        source: Path,
        layout: Layout,
        before: dict[str, _Folder],
        links: SourceLinks,
        is_due: Callable[[str], bool],
        *,
        follow_links: bool,
        mounts: MountPoints,
        with_others: bool,
        on_progress: Callable[[], None],
        contents: KnownContents,
    ) -> None:
        self._mounts, self._on_progress, self._contents = mounts, on_progress, contents
        self._source, self._layout, self._before, self._links, self._is_due = source, layout, before, links, is_due
        self._follow_links, self._with_others = follow_links, with_others
        self.seen: dict[str, _Folder] = {}
        self._result = Scan()
        self._identities: set[tuple[int, int]] = set()
        self._devices: dict[str, int] = {}
        self._by_real_path: dict[str, str] = {}
        self._waiting_links: list[SourceLink] = []

    def run(self) -> Scan:
        """Walk the folders, then those that only links lead to, then look at the links to files."""
        result, source = self._result, os.fspath(self._source)
        result.mounts = self._mounts.found
        real = os.path.realpath(source)
        self._walk("", real)
        if result.missing_root:
            return result
        to_files: list[tuple[SourceLink, LinkTarget]] = []
        while self._waiting_links:
            waiting, self._waiting_links = sorted(self._waiting_links), []
            for link in waiting:
                followed = partial(self._follow, link, real, to_files)
                contained(followed, partial(self._note_unreadable, movie_name(link.path)))
        taken: set[str] = set()
        for link, target in to_files:
            self._look_at_link(link, target, taken)
        if result.unreadable and not self._source.is_dir():  # the share dropped out during the walk
            result.missing_root = f"{self._source}: {os.strerror(errno.ENOTCONN)}"
        return result

    def _walk(self, top: str, real_path: str) -> None:
        """Look at a folder and at those below it; links wait.

        Below a link, folders that were looked at already are left out. At their own places they are not, because some
        file systems number folders wrongly.
        """
        waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(top, real_path, frozenset())]
        while waiting:
            folder, real, above = waiting.pop()
            look = partial(self._look_at_folder, folder, real, self._identities if top else above)
            entered = contained(look, partial(self._note_unreadable_folder, folder))
            if entered is None:
                if self._result.missing_root:
                    return
                continue
            below = above | {entered}
            waiting += [(path, f"{real}/{path.rpartition('/')[2]}", below) for path in self.seen[folder].folders]

    def _look_at_folder(self, folder: str, real: str, known: Collection[tuple[int, int]]) -> tuple[int, int] | None:
        """Look at the files of one folder; return what identifies it, None if it is one of those that are known."""
        path = self._source / folder
        status = path.stat()
        identity = (status.st_dev, status.st_ino)
        if status.st_ino and identity in known:
            if known is self._identities:
                self._result.skipped.add(ALIAS, movie_name(folder))
            else:
                self._result.named[movie_name(folder)] = Why.LOOP
            return None
        with os.scandir(path) as found:
            entries = list(found)
        self._on_progress()
        parent = self._devices.get(folder.rpartition("/")[0]) if folder else None
        if parent is None:
            parent = path.parent.stat().st_dev
        self._devices[folder] = status.st_dev
        if not folder:
            self._result.is_empty = not entries
        is_other_device = status.st_dev != parent
        self._mounts.check(movie_name(folder), real, is_other_device=is_other_device, is_empty=not entries)
        self.seen[folder] = judged = self._judged(folder, entries)
        self._identities.add(identity)
        self._by_real_path[real] = folder
        result = self._result
        result.skipped.take_in(judged.skipped)
        if self._with_others:
            result.others |= judged.others
        self._waiting_links += judged.links.values()
        for entry in entries:
            movie = judged.movies.get(entry.name)
            if movie is not None and self._is_due(movie):
                look = partial(self._look_at, entry.stat, movie, path / entry.name, judged.doubts.get(entry.name))
                contained(look, partial(self._note_unreadable, movie))
            name = judged.inputs.get(entry.name)
            if name is not None and self._is_due(name):
                contained(partial(self._look_at_input, entry.stat, name), partial(self._note_unreadable, name))
        return identity

    def _look_at(self, look: Callable[[], os.stat_result], movie: str, path: Path, doubt: Doubt | None) -> None:
        self._on_progress()
        try:
            status = look()
        except (
            FileNotFoundError
        ) as error:  # deleted since it was listed, or a share that drops out: the next walk tells
            self._note_unreadable(movie, error)
            return
        if stat.S_ISREG(status.st_mode):
            identity = FileIdentity.of(status)
            why = "" if doubt is None else self._why_no_movie(path, identity, doubt)
            if why:
                self._note_no_movie(movie, why)
            else:
                self._result.movies[movie] = identity
        elif not stat.S_ISDIR(status.st_mode):
            self._result.named[movie] = Why.NOT_A_FILE

    def _why_no_movie(self, path: Path, identity: FileIdentity, doubt: Doubt) -> str:
        try:
            return self._contents.why_no_movie(path, identity, doubt)
        except OSError:
            return ""  # a movie until it can be read: who waits for it says what is wrong with the share

    def _look_at_input(self, look: Callable[[], os.stat_result], name: str) -> None:
        self._on_progress()
        try:
            status = look()
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode):
            self._result.inputs[name] = FileIdentity.of(status)

    def _note_no_movie(self, name: str, why: str) -> None:
        self._result.skipped.add(why, name)
        self._result.not_movies[name] = why
        if self._with_others:
            self._result.others[name] = why

    def _note_unreadable(self, name: str, error: Exception) -> None:
        self._result.unreadable[name] = _why(error)

    def _note_unreadable_folder(self, folder: str, error: Exception) -> None:
        if folder:
            self._note_unreadable(movie_name(folder), error)
        else:
            self._result.missing_root = f"{self._source}: {_why(error)}"

    # ---- links

    def _follow(self, link: SourceLink, source: str, to_files: list[tuple[SourceLink, LinkTarget]]) -> None:
        """Walk the folder that a link leads to; note it in `to_files` if it leads to a file."""
        target, name = self._links.target(self._source / link.path, link), movie_name(link.path)
        is_seen = target.identity in self._identities or target.real in self._by_real_path
        if target.broken is not None:
            self._result.named[name] = target.broken
        elif not target.is_folder and not link.is_movie:
            self._result.skipped.add(link.why_not, name)
        elif target.is_folder and is_seen:
            self._result.skipped.add(ALIAS, name)
        elif not self._follow_links and not is_inside(target.real, source):
            self._result.named[name] = Why.OUTSIDE
            self._result.targets[name] = movie_name(target.real)
        elif target.is_folder:
            self._walk(link.path, target.real)
        else:
            to_files.append((link, target))

    def _look_at_link(self, link: SourceLink, target: LinkTarget, taken: set[str]) -> None:
        """Look at the movie that a link leads to, unless it is looked at under another path."""
        folder, _, file = target.real.rpartition("/")
        at = self._by_real_path.get(folder)
        if target.real in taken or (at is not None and file in self.seen[at].movies):
            self._result.skipped.add(ALIAS, movie_name(link.path))
            return
        taken.add(target.real)
        movie = movie_name(link.path)
        if self._is_due(movie):
            path, (folder, _, name) = self._source / link.path, link.path.rpartition("/")
            look = partial(self._look_at, path.stat, movie, path, self.seen[folder].doubts.get(name))
            contained(look, partial(self._note_unreadable, movie))

    # ---- names

    def _judged(self, folder: str, entries: list[os.DirEntry[str]]) -> _Folder:
        names = [entry.name for entry in entries]
        before = self._before.get(folder)
        if before is not None and before.still_holds(names, entries):
            return before
        prefix = f"{folder}/" if folder else ""
        siblings, in_gain_folder = set(names), bool(self._layout.programs) and is_gain_folder(folder)
        movies, doubts, links, folders = dict[str, str](), dict[str, Doubt](), dict[str, SourceLink](), list[str]()
        others, inputs, skipped = dict[str, str](), dict[str, str](), Skipped()
        for entry in entries:
            path = prefix + entry.name
            if _is_folder(entry):
                if not entry.name.startswith("."):
                    folders.append(path)
                continue
            why = self._layout.recognise(entry.name, siblings, folder).not_a_movie
            if _is_link(entry) and not entry.name.startswith("."):
                links[entry.name] = SourceLink(path, entry.inode(), is_movie=not why, why_not=why)
            elif not why:
                movies[entry.name] = movie_name(path)
            if not why and (doubt := self._layout.doubt(entry.name, siblings)) is not None:
                doubts[entry.name] = doubt
            if why:
                others[movie_name(path)] = why
                if why == A_REFERENCE or _may_be_input(entry.name, in_gain_folder):
                    inputs[entry.name] = movie_name(path)
                if entry.name not in links:  # what a link leads to decides
                    skipped.add(why, movie_name(path))
        return _Folder(names, movies, doubts, links, skipped, others, inputs, tuple(folders))


def scan(source: Path, layout: Layout, *, follow_links: bool = False) -> Scan:
    """Walk a source once, and list all files; see `Scanner`."""
    return Scanner(source, layout, follow_links=follow_links).scan(with_others=True)


def _may_be_input(name: str, in_gain_folder: bool) -> bool:
    return name.endswith((".xml", ".mdoc")) or is_gain(name, in_gain_folder) or is_defect_file(name)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"unexpected {type(error).__name__}: {error}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # some file systems know only by asking, and may not say


def _is_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return False


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
