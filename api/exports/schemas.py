"""Checks documents against the JSON Schemas of the archives, where these are installed.

The schemas are not ours and do not come with cryoferry. A folder in the data folder may hold them under their own
names; EMPIAR's is also taken from the package `empiar-depositor`. They are read by the package `jsonschema`.
"""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from api.exports import empiar, oscem

FOLDER = "schemas"
SCHEMA_OF = {oscem.NAME: "oscem_schemas_spa.schema.json", empiar.NAME: "empiar_deposition.schema.json"}
_PACKAGE_OF = {empiar.NAME: "empiar_depositor"}
_SHOWN, _SHOWN_CHARACTERS = 20, 300


def differences(document: Any, name: str, data: Path) -> tuple[str, ...] | None:
    """Return how a document differs from its schema; None: it cannot be checked here.

    Parameters
    ----------
    name
        The document's file name.
    data
        The receiver's data folder.
    """
    schema = _schema(name, data)
    if schema is None or find_spec("jsonschema") is None:
        return None
    jsonschema = importlib.import_module("jsonschema")
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft7Validator)(schema)
    found = sorted(validator.iter_errors(document), key=lambda error: error.json_path)
    return tuple(f"{error.json_path}: {error.message[:_SHOWN_CHARACTERS]}" for error in found[:_SHOWN])


def _schema(name: str, data: Path) -> Any:
    """Return a schema, or None. One that cannot be read counts as missing."""
    places = [data / FOLDER / SCHEMA_OF[name]]
    package = find_spec(_PACKAGE_OF[name]) if name in _PACKAGE_OF else None
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).with_name(SCHEMA_OF[name]))
    for place in places:
        try:
            return json.loads(place.read_text("utf-8"))
        except (OSError, ValueError):
            continue
    return None
