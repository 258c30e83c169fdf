"""What the journal's rows are in Python."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from agents.journal.file_identity import FileIdentity
from agents.journal.opening import JournalDamaged
from agents.journal.states import State
from transfer.wire.exposure_claim import ClaimReason
from transfer.wire.exposure_record import ExposureRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRow:
    """One row of the journal: a movie that was found, and what became of it."""

    exposure_id: UUID
    movie: str
    remote_stem: str
    label: str
    state: State
    reason: str
    hint: str
    revision: int
    attempts: int
    changes: dict[str, Any]
    settings: dict[str, Any] | None
    identity: FileIdentity | None
    motion_angstrom: float | None
    warnings: tuple[str, ...]
    record: ExposureRecord | None
    found_at: float
    changed_at: float
    sampled_digest: str | None = None
    movie_digest: str | None = None
    settings_digest: str | None = None
    receiver_exposure_id: UUID | None = None
    receiver_stem: str | None = None
    claim_reason: ClaimReason = ClaimReason.NEW
    claimed_at: float | None = None

    @property
    def published_id(self) -> UUID:
        """The exposure's id on the receiver: its own one until the receiver gave it another one."""
        return self.receiver_exposure_id or self.exposure_id

    @property
    def published_stem(self) -> str:
        """The name of its files on the receiver, without suffix."""
        return self.receiver_stem or self.remote_stem


class Standing(NamedTuple):
    """A movie's state: only what every scan needs, because there are tens of thousands of movies."""

    exposure_id: str
    state: str
    size_bytes: int | None
    mtime_ns: int | None
    device: int | None
    inode: int | None
    ctime_ns: int | None

    def is_overwritten(self, now: FileIdentity) -> bool:
        """Return whether size or time stamp of the movie changed since it was last finished, held or failed."""
        return (self.size_bytes, self.mtime_ns) != now[:2]

    def may_be_overwritten(self, now: FileIdentity) -> bool:
        """Return whether anything that identifies the movie changed, so that its content has to be compared."""
        return self[2:6] != now[:4] or (self.ctime_ns is not None and self.ctime_ns != now.ctime_ns)


class WaitingExposure(NamedTuple):
    """What the decision about the next step needs of an exposure; a lower number was found earlier."""

    number: int
    exposure_id: UUID
    state: State


class ReleasedExposure(NamedTuple):
    """What identifies a released exposure, without its record: there are tens of thousands."""

    number: int
    exposure_id: UUID
    receiver_exposure_id: UUID | None
    revision: int
    movie: str
    remote_stem: str
    size_bytes: int | None
    sampled_digest: str | None
    movie_digest: str | None
    settings_digest: str | None

    @property
    def published_id(self) -> UUID:
        """The exposure's id on the receiver."""
        return self.receiver_exposure_id or self.exposure_id


def released_of(row: sqlite3.Row) -> ReleasedExposure:
    """Return the released exposure in a row."""
    found = ReleasedExposure(*row)
    on_receiver = None if found.receiver_exposure_id is None else UUID(row["receiver_exposure_id"])
    return found._replace(exposure_id=UUID(row["exposure_id"]), receiver_exposure_id=on_receiver)


def identity_columns(identity: FileIdentity) -> dict[str, Any]:
    """Return the columns that hold an identity."""
    return identity._asdict()


def identity_of(row: sqlite3.Row) -> FileIdentity | None:
    """Return the identity in a row; None if it has none."""
    if row["size_bytes"] is None:
        return None
    return FileIdentity(row["size_bytes"], row["mtime_ns"], row["device"], row["inode"], row["ctime_ns"])


def exposure_of(row: sqlite3.Row) -> ExposureRow:
    """Return the exposure in a row.

    Raises
    ------
    JournalDamaged
        The row holds values that no agent writes: the disk returns other bytes than were written.
    """
    try:
        return _exposure_of(row)
    except (ValueError, TypeError) as error:
        raise JournalDamaged(f"the journal is damaged: a row of it cannot be read ({error})"[:300]) from error


def _exposure_of(row: sqlite3.Row) -> ExposureRow:
    return ExposureRow(
        exposure_id=UUID(row["exposure_id"]),
        movie=row["movie"],
        remote_stem=row["remote_stem"],
        label=row["label"],
        state=State(row["state"]),
        reason=row["reason"],
        hint=row["hint"],
        revision=row["revision"],
        attempts=row["attempts"],
        changes=json.loads(row["changes"]),
        settings=None if row["settings"] is None else json.loads(row["settings"]),
        identity=identity_of(row),
        motion_angstrom=row["motion_angstrom"],
        warnings=tuple(json.loads(row["warnings"])),
        record=None if row["record"] is None else ExposureRecord.model_validate_json(row["record"]),
        found_at=row["found_at"],
        changed_at=row["changed_at"],
        sampled_digest=row["sampled_digest"],
        movie_digest=row["movie_digest"],
        settings_digest=row["settings_digest"],
        receiver_exposure_id=None if row["receiver_exposure_id"] is None else UUID(row["receiver_exposure_id"]),
        receiver_stem=row["receiver_stem"],
        claim_reason=ClaimReason(row["claim_reason"]),
        claimed_at=row["claimed_at"],
    )
