"""The receiver's disk: part files, and the step that makes a file visible.

    DIR/incoming/{upload}.{generation}.part     what has arrived of an upload
    DIR/sessions/NAME/files/PATH                a committed file, revision 1
    DIR/sessions/NAME/revisions/N/PATH          its revision N, from 2 on

All of it lies on one file system. A file becomes visible by `link()`, which cannot replace anything. Every folder below
DIR is opened one by one without following symbolic links, so that no name leads outside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

from api.errors import DataFolderUnusable
from transfer.wire.digest import file_digest
from transfer.wire.errors import NameTaken, NotFound, ReceiverFull

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """Whether the disk or a quota is full."""
    return error.errno in _FULL


def location_of(session: str, path: str, revision: int) -> str:
    """Return where a committed file lies, relative to the data folder."""
    return f"sessions/{session}/files/{path}" if revision == 1 else f"sessions/{session}/revisions/{revision}/{path}"


class Storage:
    """The data folder.

    Parameters
    ----------
    data
        The folder.
    reserve_bytes
        Free space that is never used for uploads.
    """

    def __init__(self, data: Path, reserve_bytes: int) -> None:
        self.data = data
        self._reserve_bytes = reserve_bytes

    @property
    def incoming(self) -> Path:
        """Folder of the part files."""
        return self.data / "incoming"

    def prepare(self) -> None:
        """Make the folders, durably, and try what a commit needs.

        Raises
        ------
        DataFolderUnusable
        """
        probe = self.incoming / f"probe-{os.getpid()}"
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            self.incoming.mkdir(exist_ok=True)
            (self.data / "sessions").mkdir(exist_ok=True)
            probe.touch()
            self._probe_link(probe)
            probe.unlink()
            for folder in (self.incoming, self.data, self.data.parent):
                _sync_folder(folder)
        except OSError as error:
            raise DataFolderUnusable(f"{self.data} cannot hold the receiver's data: {error}") from error

    def _probe_link(self, probe: Path) -> None:
        target = self.data / "sessions" / f".{probe.name}"
        target.unlink(missing_ok=True)
        target.hardlink_to(probe)
        target.unlink()

    def check_writable(self) -> None:
        """Raise OSError unless files can be made and filled in the data folder."""
        probe = self.incoming / f"probe-{os.getpid()}"
        probe.write_bytes(b"ready?")
        probe.unlink()

    def free_bytes(self) -> int:
        """Return how many bytes uploads may still use."""
        space = os.statvfs(self.data)
        return max(0, space.f_bavail * space.f_frsize - self._reserve_bytes)

    def require_space(self, size_bytes: int, promised_bytes: int = 0) -> None:
        """Refuse what would not fit beside what is promised to others.

        Raises
        ------
        ReceiverFull
        """
        free = self.free_bytes()
        if size_bytes + promised_bytes > free:
            others = f", {promised_bytes} of them promised to other uploads" if promised_bytes else ""
            raise ReceiverFull(
                f"{size_bytes} bytes do not fit in the {free} bytes that are free on the receiver{others}"
            )

    # part files

    def part_path(self, upload_id: UUID, generation: int) -> Path:
        """Return where an upload's bytes arrive."""
        return self.incoming / f"{upload_id}.{generation}.part"

    def make_part(self, upload_id: UUID, generation: int) -> int:
        """Return a descriptor of an upload's new part file, open for reading and writing.

        Raises
        ------
        FileExistsError
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.part_path(upload_id, generation), flags, 0o644)

    def open_part(self, upload_id: UUID, generation: int, *, create: bool) -> int:
        """Return a descriptor of an upload's part file, open for reading and writing.

        Raises
        ------
        FileNotFoundError
            It does not exist and `create` is false.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return os.open(self.part_path(upload_id, generation), flags, 0o644)

    def discard_part(self, upload_id: UUID, generation: int) -> None:
        """Remove an upload's part file, if there is one."""
        self.part_path(upload_id, generation).unlink(missing_ok=True)

    # committed files

    def publish(self, part_fd: int, part: Path, location: str, root_digest: str, size_bytes: int) -> None:
        """Make a complete, synced part file visible under its name, and its name durable.

        Repeating it is safe: a file that is visible already under that name is left as it is, and counts as published
        when it has the same content.

        Parameters
        ----------
        part_fd, part
            The part file.
        location
            Where to, relative to the data folder.
        root_digest, size_bytes
            The file's identity.

        Raises
        ------
        NameTaken
            Something else has this name.
        """
        *folders, name = location.split("/")
        with self._open_folders(folders, make=True) as chain:
            try:
                os.link(part, name, dst_dir_fd=chain[-1], follow_symlinks=False)
            except FileExistsError:
                if not _is_same_file(part_fd, name, chain[-1]):
                    _require_content(name, chain[-1], root_digest, size_bytes)
            # The whole chain: another commit may have made a folder and not yet synced its parent.
            for folder in reversed(chain):
                os.fsync(folder)

    def is_published(self, part_fd: int, location: str) -> bool:
        """Whether a part file is visible under its final name already."""
        *folders, name = location.split("/")
        try:
            with self._open_folders(folders, make=False) as chain:
                return _is_same_file(part_fd, name, chain[-1])
        except (FileNotFoundError, NameTaken):
            return False

    def unpublish(self, part_fd: int, location: str) -> None:
        """Take back a name that was given to a part file but never recorded."""
        *folders, name = location.split("/")
        with contextlib.suppress(FileNotFoundError, NameTaken), self._open_folders(folders, make=False) as chain:
            if _is_same_file(part_fd, name, chain[-1]):
                os.unlink(name, dir_fd=chain[-1])

    def open_committed(self, location: str) -> int:
        """Return a descriptor of a committed file, open for reading.

        Raises
        ------
        NotFound
            Somebody took it away.
        """
        *folders, name = location.split("/")
        try:
            with self._open_folders(folders, make=False) as chain:
                return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=chain[-1])
        except FileNotFoundError as error:
            raise NotFound(f"{location} is no longer on the receiver's disk") from error

    @contextmanager
    def _open_folders(self, names: list[str], *, make: bool) -> Iterator[list[int]]:
        """Hand out descriptors of the data folder and of each folder of a path below it."""
        with ExitStack() as opened:
            chain = [os.open(self.data, _FOLDER & ~os.O_NOFOLLOW)]
            opened.callback(os.close, chain[0])
            for name in names:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=chain[-1])
                try:
                    folder = os.open(name, _FOLDER, dir_fd=chain[-1])
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP):
                        raise NameTaken(f"{'/'.join(names)}: {name!r} is a file there, not a folder") from error
                    raise
                opened.callback(os.close, folder)
                chain.append(folder)
            yield chain


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_same_file(fd: int, name: str, folder: int) -> bool:
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _require_content(name: str, folder: int, root_digest: str, size_bytes: int) -> None:
    """Accept a visible file that nobody recorded if it is, byte for byte, the one to be published."""
    taken = NameTaken(f"{name!r} is there already and was not sent through this receiver's database")
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
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
        os.fsync(fd)
    finally:
        os.close(fd)
