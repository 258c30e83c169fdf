"""Records of exposures as the database keeps them, and their conversion to what clients are told.

A record is kept as JSON text. Text in the form that this version writes is passed on as it is: parsing and writing it
again would be most of the cost of a list. Text that another version wrote is converted.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache

from transfer.wire import version_1
from transfer.wire.exposure_record import ExposureRecord


@cache
def present_form() -> str:
    """Return what stands for the form of the records that this version writes: a digest of their schema."""
    schema = json.dumps(ExposureRecord.model_json_schema(mode="serialization"), sort_keys=True)
    return hashlib.sha256(schema.encode()).hexdigest()[:16]


def kept_text(record: ExposureRecord) -> str:
    """Return a record in the form that this version writes."""
    return record.model_dump_json()


def text_to_show(kept: str, form: str | None, version: int) -> str:
    """Return a kept record as JSON text in a version of the protocol.

    Parameters
    ----------
    kept
        The text in the database.
    form
        The form that it was written in; None: an older version wrote it.
    version
        The version of the protocol that the client reads.
    """
    if form != present_form():
        kept = kept_text(ExposureRecord.model_validate_json(kept))
    if version == 1:
        return json.dumps(version_1.downgraded(json.loads(kept)), ensure_ascii=False, separators=(",", ":"))
    return kept
