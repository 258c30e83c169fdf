"""All that the agent asks of the microscope's share, apart from the alignment, which reads the movie itself.

Each answer may take for ever, if the share hangs. `agents.share` asks in a process that can be left behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from agents.finding.mounts import MountPoints
from agents.finding.scan import Scan, Scanner
from agents.journal.file_identity import FileIdentity
from agents.layouts import Layout
from preprocess.movies.structure import missing_structure
from preprocess.sidecars import find_sidecars

_PROBE_BYTES = 4096


class SourceAccess(Protocol):
    """Answers questions about the source. Every method may raise OSError, `agents.share_errors.ShareSilent` too."""

    def real_path(self) -> str:
        """Return the source's path without links, after making sure that it is a folder that can be listed."""

    def scan(self, at_rest: Collection[str], mounts: Collection[str]) -> Scan:
        """Walk the source; see `Scanner.scan`. An error of the whole source is its `missing_root`.

        Parameters
        ----------
        mounts
            Folders of the source that were mount points in an earlier walk, by their names; "" is the source.
        """

    def identity(self, movie: Path) -> FileIdentity:
        """Return what identifies a movie's file now."""

    def missing_structure(self, movie: Path) -> str | None:
        """Return what is missing in a movie's structure; None when it is complete."""

    def gain(self, movie: Path) -> Path | None:
        """Return the gain reference that the layout finds for a movie."""

    def sidecars(self, movie: Path) -> list[Path]:
        """Return the files that may describe a movie."""

    def check_readable(self, movie: Path) -> None:
        """Read the beginning, the middle and the end of a movie."""


class DirectAccess:
    """Asks the share in this process: a `SourceAccess`.

    Parameters
    ----------
    on_progress
        Called again and again during a scan, so that a long scan can be told from one that hangs.
    """

    def __init__(
        self,
        source: Path,
        layout: Layout,
        *,
        follow_links: bool = False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._layout = source, layout
        self._scanner = Scanner(source, layout, follow_links=follow_links, on_progress=on_progress)

    def real_path(self) -> str:
        """Return the source's path without links."""
        with os.scandir(self._source) as entries:
            next(entries, None)
        return os.path.realpath(self._source)

    def scan(self, at_rest: Collection[str], mounts: Collection[str] = ()) -> Scan:
        """Walk the source."""
        return self._scanner.scan(at_rest, mounts=MountPoints(mounts))

    def identity(self, movie: Path) -> FileIdentity:
        """Return what identifies a movie's file now."""
        return FileIdentity.of(movie.stat())

    def missing_structure(self, movie: Path) -> str | None:
        """Return what is missing in a movie's structure."""
        return missing_structure(movie)

    def gain(self, movie: Path) -> Path | None:
        """Return the gain reference that the layout finds for a movie."""
        return self._layout.gain(movie, self._source)

    def sidecars(self, movie: Path) -> list[Path]:
        """Return the files that may describe a movie."""
        return list(find_sidecars(movie))

    def check_readable(self, movie: Path) -> None:
        """Read the beginning, the middle and the end of a movie."""
        with movie.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            for offset in (0, size_bytes // 2, max(0, size_bytes - _PROBE_BYTES)):
                file.seek(offset)
                file.read(_PROBE_BYTES)
