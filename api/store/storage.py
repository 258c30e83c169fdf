"""The data folder on the receiver's disk: part files, committed files, and the step from one to the other.

    DIR/incoming/{upload}.{generation}.part     what has arrived of an upload
    DIR/sessions/NAME/files/PATH                a committed file, revision 1
    DIR/sessions/NAME/revisions/N/PATH          its revision N, from 2 on
    DIR/set-aside/TIME/…                        what had the name of a committed file, and other content

All of it is on one file system. A file becomes visible by `link()`, which cannot replace another file. Every folder
below DIR is opened one by one without following symbolic links, so no name leads out of DIR.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from api.errors import DataFolderUnusable
from api.store.promises import NOTHING_PROMISED, PromisedSpace
from transfer.disk.files import open_to_write, read_at, sync_descriptor, sync_folder
from transfer.disk.folders import OpenFolder, open_folders
from transfer.file_digest import file_digest
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest
from transfer.wire.errors import NameTaken, NotFound, StorageFailed


def location_of(session: str, path: str, revision: int) -> str:
    """Return the path of a committed file, relative to the data folder."""
    return f"sessions/{session}/files/{path}" if revision == 1 else f"sessions/{session}/revisions/{revision}/{path}"


class Storage:
    """The data folder.

    Parameters
    ----------
    data
        The folder.
    reserve_bytes
        Free space that uploads never use.
    """

    def __init__(self, data: Path, reserve_bytes: int) -> None:
        self.data = data
        self._reserve_bytes = reserve_bytes

    @property
    def incoming(self) -> Path:
        """Folder of the part files."""
        return self.data / "incoming"

    def prepare(self) -> None:
        """Make the folders, durably, a new data folder for its owner alone, and try the operations that a commit needs.

        Raises
        ------
        DataFolderUnusable
        """
        probe = self.incoming / f"probe-{os.getpid()}"
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = 0o700 | self.data.stat().st_mode & 0o777  # an operator may have given others access to a folder
            self.incoming.mkdir(mode, exist_ok=True)
            (self.data / "sessions").mkdir(mode, exist_ok=True)
            probe.touch()
            self._probe_link(probe)
            probe.unlink()
            for folder in (self.incoming, self.data, self.data.parent):
                sync_folder(folder)
        except OSError as error:
            raise DataFolderUnusable(f"{self.data} cannot hold the receiver's data: {error}") from error

    def _probe_link(self, probe: Path) -> None:
        target = self.data / "sessions" / f".{probe.name}"
        target.unlink(missing_ok=True)
        target.hardlink_to(probe)
        target.unlink()

    def check_writable(self) -> None:
        """Raise OSError unless files can be made and written in the data folder."""
        probe = self.incoming / f"probe-{os.getpid()}"
        probe.write_bytes(b"ready?")
        probe.unlink()

    def free_bytes(self) -> int:
        """Return how many bytes uploads may still use."""
        return max(0, shutil.disk_usage(self.data).free - self._reserve_bytes)

    def require_space(self, size_bytes: int, promised: PromisedSpace = NOTHING_PROMISED) -> None:
        """Refuse an upload that does not fit beside what uploads have yet to receive.

        Parameters
        ----------
        size_bytes
            The upload's size.
        promised
            What uploads have yet to receive.

        Raises
        ------
        ReceiverFull
        """
        promised.require_room(size_bytes, self.free_bytes())

    # part files

    def part_path(self, upload_id: UUID, generation: int) -> Path:
        """Return the path of an upload's part file."""
        return self.incoming / f"{upload_id}.{generation}.part"

    def make_part(self, upload_id: UUID, generation: int) -> int:
        """Make the part file of an upload; return its descriptor, open for reading and writing.

        Raises
        ------
        FileExistsError
        """
        return open_to_write(self.part_path(upload_id, generation), exclusive=True)

    def open_part(self, upload_id: UUID, generation: int, *, create: bool) -> int:
        """Return a descriptor of an upload's part file, open for reading and writing.

        Raises
        ------
        FileNotFoundError
            It does not exist and `create` is false.
        """
        return open_to_write(self.part_path(upload_id, generation), create=create)

    def discard_part(self, upload_id: UUID, generation: int) -> None:
        """Remove an upload's part file, if there is one."""
        self.part_path(upload_id, generation).unlink(missing_ok=True)

    # committed files

    def publish(self, part_fd: int, part: Path, location: str, root_digest: str, size_bytes: int) -> int:
        """Make a complete, synced part file visible under its name, and its name durable; return its time stamp, in ns.

        This may be repeated. If a file is visible under that name already, it is left as it is; it counts as published
        if it has the same content.

        Parameters
        ----------
        part_fd, part
            The part file.
        location
            Its final path, relative to the data folder.
        root_digest, size_bytes
            Of the file's content.

        Raises
        ------
        NameTaken
            A file with another content has this name.
        """
        *folders, name = location.split("/")
        mtime_ns = os.fstat(part_fd).st_mtime_ns
        with self._open_folders(folders, make=True) as chain:
            try:
                chain[-1].link(part, name)
            except FileExistsError:
                if not _is_same_file(part_fd, name, chain[-1]):
                    mtime_ns = _require_content(name, chain[-1], root_digest, size_bytes)
            # All folders: another commit may have made one and not yet synced its parent.
            for folder in reversed(chain):
                folder.sync()
        return mtime_ns

    def is_published(self, part_fd: int, location: str) -> bool:
        """Return whether a part file is visible under its final name already."""
        *folders, name = location.split("/")
        try:
            with self._open_folders(folders, make=False) as chain:
                return _is_same_file(part_fd, name, chain[-1])
        except (FileNotFoundError, NameTaken):
            return False

    def unpublish(self, part_fd: int, location: str) -> None:
        """Remove a part file's final name, which the database does not record."""
        *folders, name = location.split("/")
        with contextlib.suppress(FileNotFoundError, NameTaken), self._open_folders(folders, make=False) as chain:
            if _is_same_file(part_fd, name, chain[-1]):
                chain[-1].remove(name)

    def open_committed(self, location: str) -> int:
        """Return a descriptor of a committed file, open for reading.

        Raises
        ------
        NotFound
            It was removed from the disk by other means.
        """
        *folders, name = location.split("/")
        try:
            with self._open_folders(folders, make=False) as chain:
                return chain[-1].open_file(name)
        except FileNotFoundError as error:
            raise NotFound(f"{location} is no longer on the receiver's disk") from error

    def chunk_digests(self, location: str, span: range) -> list[bytes]:
        """Return the BLAKE3 digests of the chunks of a range of a committed file, read from the disk.

        Raises
        ------
        NotFound
            It was removed from the disk by other means.
        OSError
        """
        fd = self.open_committed(location)
        try:
            return [
                chunk_digest(read_at(fd, min(CHUNK_BYTES, span.stop - start), start))
                for start in range(span.start, span.stop, CHUNK_BYTES)
            ]
        finally:
            os.close(fd)

    def status(self, location: str) -> os.stat_result:
        """Return the status of what has the name of a committed file; a symbolic link is not followed.

        Raises
        ------
        NotFound
            Nothing has the name.
        NameTaken
            A file or a symbolic link is in the place of one of its folders.
        OSError
        """
        with self.statuses() as statuses:
            return statuses.status(location)

    @contextmanager
    def statuses(self) -> Iterator[StatusReader]:
        """Give out what reads the status of many committed files."""
        with ExitStack() as held:
            yield StatusReader(lambda folders: self._open_folders(folders, make=False), held)

    def in_the_way(self, location: str) -> str | None:
        """Return what takes the place of a missing or changed file; None if nothing does, or only folders of its path.

        That is the location itself if anything has the name, or else the first folder of its path, below that of all
        sessions, that is no folder any more.

        Raises
        ------
        OSError
        """
        names = location.split("/")
        for depth in range(2, len(names) + 1):
            place = "/".join(names[:depth])
            try:
                status = self.status(place)
            except (NotFound, NameTaken):
                return None
            if depth == len(names) or not stat.S_ISDIR(status.st_mode):
                return place
        return None

    def require_mounted(self) -> None:
        """Refuse to draw conclusions from files that are missing, while the whole data folder is.

        Raises
        ------
        StorageFailed
        """
        if not self.incoming.is_dir():
            raise StorageFailed(f"the data folder {self.data} is not there: is its disk mounted?")

    def has_session(self, session: str) -> bool:
        """Return whether a session has a folder for its committed files."""
        top = self.data / "sessions" / session
        return any(os.path.isdir(top / folder) for folder in ("files", "revisions"))  # noqa: PTH112 - raises nothing

    def set_aside(self, location: str, moment: datetime) -> str | None:
        """Move what has a name below the data folder to `set-aside/TIME/…`, durably; return where it is now.

        None if nothing has the name. Nothing there is ever replaced.

        Raises
        ------
        StorageFailed
            A file or a link is in the place of a folder of `set-aside`.
        OSError
        """
        *folders, name = location.split("/")
        try:
            with self._open_folders(folders, make=False) as chain:
                chain[-1].status(name)
                for number in itertools.count():
                    time = f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}" + (f"-{number}" if number else "")
                    kept = ["set-aside", time, *folders]
                    with self._open_aside(kept) as aside:
                        if chain[-1].moved(name, aside[-1]):
                            for folder in (*reversed(aside), chain[-1]):
                                folder.sync()
                            return "/".join([*kept, name])
        except (FileNotFoundError, NameTaken):
            pass
        return None

    def revisions_of(self, session: str, path: str) -> list[str]:
        """Return the locations at which a file's revisions may be: of the first, and of those with a folder."""
        folder = self.data / "sessions" / session / "revisions"
        numbers = [int(entry.name) for entry in folder.glob("*") if entry.name.isdecimal()]
        return [location_of(session, path, revision) for revision in (1, *sorted(numbers))]

    def remove(self, location: str) -> bool:
        """Remove a file for good, durably; return whether there was one.

        Raises
        ------
        OSError
        """
        *folders, name = location.split("/")
        try:
            with self._open_folders(folders, make=False) as chain:
                chain[-1].remove(name)
                chain[-1].sync()
        except (FileNotFoundError, NameTaken):
            return False
        return True

    @contextmanager
    def _open_aside(self, names: list[str]) -> Iterator[list[OpenFolder]]:
        """Make the folders of a path below `set-aside`, and hold them open."""
        try:
            with self._open_folders(names, make=True) as chain:
                yield chain
        except NameTaken as error:
            raise StorageFailed(f"nothing can be set aside in {self.data}: {error}") from error

    @contextmanager
    def _open_folders(self, names: list[str], *, make: bool) -> Iterator[list[OpenFolder]]:
        """Hold open the data folder and each folder of a path below it."""
        with ExitStack() as opened:
            try:
                chain = opened.enter_context(open_folders(self.data, names, make=make))
            except NotADirectoryError as error:
                raise NameTaken(f"{'/'.join(names)}: {error.filename!r} is a file there, not a folder") from error
            yield chain


class StatusReader:
    """Reads the status of committed files; a folder stays open while the files are in it.

    Parameters
    ----------
    open_folders
        Opens the folders of a path below the data folder.
    held
        Closes the folders at its end.
    """

    def __init__(
        self, open_folders: Callable[[list[str]], AbstractContextManager[list[OpenFolder]]], held: ExitStack
    ) -> None:
        self._open_folders, self._held = open_folders, held
        self._folders: list[str] | None = None
        self._chain: list[OpenFolder] = []

    def status(self, location: str) -> os.stat_result:
        """Return the status of what has the name of a committed file; a symbolic link is not followed.

        Raises
        ------
        NotFound, NameTaken, OSError
            See `Storage.status`.
        """
        *folders, name = location.split("/")
        try:
            if folders != self._folders:
                self._held.close()
                self._folders = None
                self._chain = self._held.enter_context(self._open_folders(folders))
                self._folders = folders
            return self._chain[-1].status(name)
        except FileNotFoundError as error:
            raise NotFound(f"{location} is no longer on the receiver's disk") from error


def _is_same_file(fd: int, name: str, folder: OpenFolder) -> bool:
    try:
        there = folder.status(name)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _require_content(name: str, folder: OpenFolder, root_digest: str, size_bytes: int) -> int:
    """Accept a visible file that the database does not record if it is, byte for byte, the one to be published.

    Returns
    -------
    int
        The file's time stamp, in ns.

    Raises
    ------
    NameTaken
    """
    taken = NameTaken(f"a file {name!r} that this receiver did not commit has the name")
    try:
        fd = folder.open_file(name)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise taken from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size_bytes:
            raise taken
        if file_digest(fd, size_bytes) != root_digest:
            raise taken
        sync_descriptor(fd)
        return status.st_mtime_ns
    finally:
        os.close(fd)
