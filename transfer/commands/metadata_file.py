"""Reads the file of `cryoferry session start --metadata`: TOML, or JSON in a file that ends in `.json`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer.wire.session_metadata import SessionMetadata


def read_metadata(path: Path) -> SessionMetadata:
    """Return what a file says of a session.

    Raises
    ------
    SourceUnreadable
    BadMetadata
        It is too large, cannot be read as TOML or JSON, or has mistakes, each of which is named.
    """
    from transfer.wire.errors import BadMetadata, SourceUnreadable
    from transfer.wire.session_metadata import MAX_METADATA_BYTES, checked_metadata

    try:
        with path.open("rb") as file:
            content = file.read(MAX_METADATA_BYTES + 1)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_METADATA_BYTES:
        raise BadMetadata(f"{path} is too large: a session's metadata have at most {MAX_METADATA_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")  # editors on Windows begin a file with a byte order mark
        values: Any = _of_json(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise BadMetadata(f"{path} cannot be read as {kind}: {error}") from error
    try:
        return checked_metadata(values)
    except BadMetadata as error:
        raise BadMetadata(f"{path}: {error}") from error


def _of_json(text: str) -> Any:
    """Return what JSON says; a name that stands twice in an object is a mistake, as it is in TOML."""

    def one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"{name!r} stands there twice")
            found[name] = value
        return found

    return json.loads(text, object_pairs_hook=one_of_each)
