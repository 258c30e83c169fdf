"""Remembers what the contents of files said about whether they are movies, so that each is read once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from agents.journal.file_identity import FileIdentity
from preprocess.layouts import Doubt
from preprocess.layouts.contents import why_no_movie


class _KnownContent(NamedTuple):
    """What was read, and what it said."""

    file: FileIdentity
    mdoc: FileIdentity | None
    doubt: Doubt
    why: str


class KnownContents:
    """What contents say about files whose names leave a doubt. A file is read again when it or its mdoc changed."""

    def __init__(self) -> None:
        self._known: dict[Path, _KnownContent] = {}

    def why_no_movie(self, path: Path, identity: FileIdentity, doubt: Doubt) -> str:
        """Return why a file is no movie; empty if nothing says that it is none.

        Raises
        ------
        OSError
            The file or its mdoc cannot be read now.
        """
        mdoc = _identity(path.with_name(doubt.mdoc)) if doubt.mdoc else None
        known = self._known.get(path)
        if known is not None and (known.file, known.mdoc, known.doubt) == (identity, mdoc, doubt):
            return known.why
        why = why_no_movie(path, doubt)
        self._known[path] = _KnownContent(identity, mdoc, doubt, why)
        return why


def _identity(path: Path) -> FileIdentity | None:
    try:
        return FileIdentity.of(path.stat())
    except FileNotFoundError:
        return None
