"""What a receiver tells of the exports of a session."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from transfer.wire.fail_fast import Listed
from transfer.wire.receipt import Record


class ExportedFile(Record):
    """One file that was made for another program or an archive."""

    path: str = Field(description="relative to the session's folder on the receiver")
    exposure_count: int = Field(ge=0, description="exposures that it has")


class SessionExports(Record):
    """The exports of a session, as they were made at one moment."""

    made_at: AwareDatetime
    folder: str = Field(description="the session's folder on the receiver")
    exposure_count: int = Field(ge=0, description="published exposures")
    unregistered_count: int = Field(
        ge=0, description="exposures that are left out, because their micrographs are not registered yet or cannot be"
    )
    files: Listed[ExportedFile]
    missing: Listed[str] = Field(
        default=(), description="document and field of what an archive requires and nobody gave"
    )
    differences: Listed[str] = Field(default=(), description="how documents differ from their schemas")
    unchecked: Listed[str] = Field(
        default=(), description="documents that were not checked: their schemas are not on the receiver"
    )
