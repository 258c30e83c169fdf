"""Files that the user named must be there before anything is done. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from preprocess.errors import InputMissing
from preprocess.settings import AlignmentSettings


def refuse_missing(path: Path | None, what: str = "") -> None:
    """Refuse a file that was named and is not there.

    Raises
    ------
    InputMissing
        `what` says which of the files it is.
    """
    try:
        if path is not None:
            path.stat()
    except OSError as error:
        raise InputMissing(f"{what} {path}: {error.strerror}".strip()) from error


def refuse_missing_references(settings: AlignmentSettings) -> None:
    """Refuse a gain reference or a file of defects that was named and is not there.

    Raises
    ------
    InputMissing
    """
    refuse_missing(settings.gain.path, "the gain reference")
    refuse_missing(settings.defects.path, "the file of defects")
