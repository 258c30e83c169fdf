"""The metadata that people gave of a session: a file in the session's folder, kept with it."""

from __future__ import annotations

import logging
from pathlib import Path

from api.registrars import SessionPlace
from transfer.disk.files import make_file
from transfer.wire.session_metadata import SessionMetadata

log = logging.getLogger(__name__)

FOLDER, GIVEN = "metadata", "given.json"


def metadata_folder(place: SessionPlace) -> Path:
    """Return the folder of what is known of a session as a whole."""
    return place.folder / FOLDER


def given_metadata(place: SessionPlace) -> SessionMetadata:
    """Return what was given; nothing where nothing was, or where the file is no metadata any more."""
    path = metadata_folder(place) / GIVEN
    try:
        return SessionMetadata.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return SessionMetadata()
    except ValueError as error:
        log.warning("%s is not used: it is no metadata of a session (%s)", path, type(error).__name__)
        return SessionMetadata()


def give_metadata(place: SessionPlace, given: SessionMetadata) -> None:
    """Keep metadata in place of what was given before; they are on the disk on return.

    Raises
    ------
    OSError
    """
    text = given.model_dump_json(exclude_unset=True, indent=2) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    make_file(metadata_folder(place) / GIVEN, write)
