"""Writes the metadata of a session for archives, and a list of what they require and nobody gave.

A document is written with what there is. What is missing is no error: people give it later.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.exports import empiar, oscem
from api.exports.documents import Gaps
from api.exports.schemas import differences
from api.exports.session_metadata import FOLDER, given_metadata, metadata_folder
from api.exports.summary import SessionSummary
from api.registrars import SessionPlace
from transfer.disk.files import make_file
from transfer.wire.session_metadata import SessionMetadata

MISSING = "missing.txt"
_HEADING = """\
Archives require these fields of the session, and nobody gave them.
Write them into a file and give it: cryoferry session start NAME --metadata FILE
Then export again: cryoferry session export NAME

"""
_DOCUMENTS: dict[str, Callable[[SessionSummary, SessionMetadata, Gaps], dict[str, Any]]] = {
    oscem.NAME: oscem.oscem_document,
    empiar.NAME: empiar.empiar_document,
}


@dataclass(frozen=True, slots=True)
class WrittenArchives:
    """The documents, relative to the session's folder, and what keeps them from being complete."""

    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def write_archives(place: SessionPlace, session: SessionSummary, data: Path) -> WrittenArchives:
    """Write the documents of a session; a session without registered micrographs has none.

    Parameters
    ----------
    data
        The receiver's data folder.

    Raises
    ------
    OSError
    """
    if not session.count:
        return WrittenArchives()
    given = given_metadata(place)
    missing: list[str] = []
    different: list[str] = []
    unchecked: list[str] = []
    for name, make in _DOCUMENTS.items():
        gaps = Gaps(name)
        document = make(session, given, gaps)
        _write(metadata_folder(place) / name, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        missing += gaps.lines
        found = differences(document, name, data)
        if found is None:
            unchecked.append(name)
        elif not gaps.lines:  # what is missing is said already
            different += [f"{name}: {each}" for each in found]
    _write_missing(metadata_folder(place) / MISSING, missing)
    files = tuple(f"{FOLDER}/{name}" for name in _DOCUMENTS)
    return WrittenArchives(files, tuple(missing), tuple(different), tuple(unchecked))


def _write_missing(path: Path, missing: list[str]) -> None:
    if missing:
        _write(path, _HEADING + "\n".join(missing) + "\n")
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    make_file(path, write)
