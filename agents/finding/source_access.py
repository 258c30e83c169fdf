"""All that the agent asks of the microscope's share, apart from the alignment, which reads the movie itself.

Each answer may take for ever, if the share hangs. `agents.share` asks in a process that can be left behind.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from agents.finding.mounts import MountPoints
from agents.finding.movie_inputs import (
    MovieInputs,
    NamedInputs,
    find_inputs,
    input_digest,
    judged_counts,
    with_found_inputs,
)
from agents.finding.scan import Scan, Scanner
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import InputKind
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.gains.finding import ReferenceFinder
from preprocess.gains.need import JudgedCounts
from preprocess.input_files import open_regular
from preprocess.layouts import Layout
from preprocess.movie_plan import MoviePlan, MoviePlanner
from preprocess.movies.structure import missing_structure

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

    def inputs(self, movie: Path, named: NamedInputs) -> MovieInputs:
        """Return what a movie is to be aligned with, and whether that is there."""

    def judged_counts(self, movie: Path) -> JudgedCounts:
        """Return whether a movie needs a gain reference."""

    def input_digest(self, kind: InputKind, path: Path, movie: Path) -> str | None:
        """Return the BLAKE3 digest of an input; None if it is gone, or a sidecar that says nothing about the movie."""

    def check_readable(self, file: Path) -> None:
        """Read the beginning, the middle and the end of a file; that bytes of it are missing is an error."""


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
        self._source, self._on_progress = source, on_progress
        self._finder = ReferenceFinder(layout.programs, lambda _movie: source)
        self._planner = MoviePlanner()
        self._scanner = Scanner(source, layout, follow_links=follow_links, on_progress=on_progress)

    def real_path(self) -> str:
        """Return the source's path without links."""
        with os.scandir(self._source) as entries:
            next(entries, None)
        return os.path.realpath(self._source)

    def scan(self, at_rest: Collection[str], mounts: Collection[str] = ()) -> Scan:
        """Walk the source."""
        return self._scanner.scan(at_rest, mounts=MountPoints(mounts))

    def scan_all(self) -> Scan:
        """Walk the source, and list the files too that are no movies."""
        return self._scanner.scan(with_others=True)

    def identity(self, movie: Path) -> FileIdentity:
        """Return what identifies a movie's file now."""
        return FileIdentity.of(movie.stat())

    def missing_structure(self, movie: Path) -> str | None:
        """Return what is missing in a movie's structure, once it is sure that the share did not withhold it."""
        is_whole = False
        try:
            missing = missing_structure(movie)
            is_whole = missing is None
        finally:
            if not is_whole:
                self.check_readable(movie)
        return missing

    def inputs(self, movie: Path, named: NamedInputs) -> MovieInputs:
        """Return what a movie is to be aligned with, and whether that is there."""
        return find_inputs(movie, named, self._finder)

    def plan(self, movie: Path, chosen: ChosenAlignment) -> MoviePlan:
        """Return what would become of a movie, by headers and the files beside it alone."""
        named = NamedInputs(
            chosen.settings.gain.path, chosen.settings.defects.path, no_gain=chosen.settings.gain.absent
        )
        inputs = self.inputs(movie, named)
        plan = self._planner.plan(movie, with_found_inputs(chosen, inputs))
        gains = [each for each in inputs if each.kind is InputKind.GAIN]
        awaited = next((each.path for each in gains if each.identity is None), None)
        return replace(plan, awaited_gain=awaited)

    def judged_counts(self, movie: Path) -> JudgedCounts:
        """Return whether a movie needs a gain reference."""
        return judged_counts(movie)

    def input_digest(self, kind: InputKind, path: Path, movie: Path) -> str | None:
        """Return the BLAKE3 digest of an input; None if it is gone, or a sidecar that says nothing about the movie."""
        return input_digest(kind, path, movie, self._on_progress)

    def check_readable(self, file: Path) -> None:
        """Read the beginning, the middle and the end of a file."""
        with BufferedReader(open_regular(file)) as opened:
            size_bytes = os.fstat(opened.fileno()).st_size
            for offset in (0, size_bytes // 2, max(0, size_bytes - _PROBE_BYTES)):
                opened.seek(offset)
                if len(opened.read(_PROBE_BYTES)) < min(_PROBE_BYTES, size_bytes - offset):
                    raise OSError(errno.EIO, "the share returns fewer bytes than the file has")
