"""Folders that are held open: what is done in them stays in them, whatever is renamed meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from transfer.disk.flags import FOLDER, NO_BLOCK, NO_FOLLOW, unsupported


class OpenFolder:
    """A folder that is held open by its descriptor.

    Its methods act in this folder, even if a folder of its path is replaced by a symbolic link meanwhile. They never
    follow symbolic links.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a folder by its path, which may contain symbolic links.

        Raises
        ------
        OSError
        """
        if FOLDER is None or os.open not in os.supports_dir_fd:
            raise unsupported("open a file in a folder that is held open; the receiver needs Linux")
        return cls(os.open(path, os.O_RDONLY | FOLDER))

    @property
    def path(self) -> Path | None:
        """A path of this process to the folder, wherever it is moved; None if the system has none."""
        path = Path(f"/proc/self/fd/{self._descriptor}")
        try:
            is_this = os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return None
        return path if is_this else None

    def folder(self, name: str, *, make: bool) -> OpenFolder:
        """Open a folder in this one; `make` makes it if it does not exist.

        Raises
        ------
        NotADirectoryError
            There is a file or a symbolic link of that name.
        FileNotFoundError
        OSError
        """
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700 | os.fstat(self._descriptor).st_mode & 0o777, dir_fd=self._descriptor)
        flags = os.O_RDONLY | (FOLDER or 0) | NO_FOLLOW
        try:
            return OpenFolder(os.open(name, flags, dir_fd=self._descriptor))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from error
            raise

    def open_file(self, name: str) -> int:
        """Return a descriptor of a file in this folder, open for reading. It never waits for the writer of a pipe.

        Raises
        ------
        OSError
            With ELOOP for a symbolic link.
        """
        return os.open(name, os.O_RDONLY | NO_FOLLOW | NO_BLOCK, dir_fd=self._descriptor)

    def link(self, source: Path, name: str) -> None:
        """Give a file a further name, in this folder.

        Raises
        ------
        FileExistsError
            The name is taken.
        OSError
        """
        os.link(source, name, dst_dir_fd=self._descriptor, follow_symlinks=False)

    def status(self, name: str) -> os.stat_result:
        """Return the status of what has a name in this folder.

        Raises
        ------
        FileNotFoundError
        """
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def moved(self, name: str, target: OpenFolder) -> bool:
        """Move what has a name in this folder into another one; return False if that has something of this name.

        Raises
        ------
        FileNotFoundError
        OSError
        """
        with suppress(FileNotFoundError):
            target.status(name)
            return False
        os.rename(name, name, src_dir_fd=self._descriptor, dst_dir_fd=target._descriptor)
        return True

    def remove(self, name: str) -> None:
        """Remove a file from this folder."""
        os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Wait until this folder's entries are on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


@contextmanager
def open_folders(root: Path, names: Sequence[str], *, make: bool) -> Iterator[list[OpenFolder]]:
    """Hold a folder and a path of folders below it open: the root first.

    Parameters
    ----------
    root
        The first folder; must exist.
    names
        The folders below it, each in the one before.
    make
        Make the folders that do not exist.

    Raises
    ------
    NotADirectoryError
        One of the names belongs to a file or a symbolic link.
    FileNotFoundError
    OSError
    """
    with ExitStack() as opened:
        chain = [OpenFolder.open(root)]
        opened.callback(chain[0].close)
        for name in names:
            chain.append(chain[-1].folder(name, make=make))
            opened.callback(chain[-1].close)
        yield chain


@contextmanager
def held_folder(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """Make a path of folders below a folder; yield a path to the last one that stays valid whatever is renamed.

    No symbolic link below `root` is followed. Where the system cannot hold a folder open, the path is the plain one.

    Parameters
    ----------
    root
        The first folder. It is made if need be, and may be a link itself.
    names
        The folders below it, each in the one before.

    Raises
    ------
    NotADirectoryError
        One of the names belongs to a file or a symbolic link.
    OSError
    """
    root.mkdir(parents=True, exist_ok=True)
    if FOLDER is None or os.open not in os.supports_dir_fd:
        plain = root.joinpath(*names)
        plain.mkdir(parents=True, exist_ok=True)
        yield plain
        return
    with open_folders(root, names, make=True) as chain:
        yield chain[-1].path or root.joinpath(*names)
