"""How a client has the receiver read committed files again and compare them with their digests.

`POST /v1/sessions/{session}/verifications` with a `VerificationRequest` answers 202 and a `Verification`; the client
asks for it again until its state is `done`. The receiver reads behind its uploads, so a verification may take long.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import Field

from transfer.wire.fail_fast import Listed
from transfer.wire.receipt import Record

MAX_VERIFIED_PATHS = 10_000
"""A request names at most this many files; a request that names none verifies the whole session."""
MAX_LISTED_PROBLEMS = 1000
"""An answer lists at most this many files that are not as they should be."""


class FileCheck(StrEnum):
    """How a committed file is on the receiver's disk."""

    SAME = "same"  # as it was committed
    MISSING = "missing"
    CHANGED = "changed"  # another size or other bytes
    UNREADABLE = "unreadable"  # the disk reports an error while it is read: another try may succeed


class VerificationRequest(Record):
    """Which files to read: these paths, newest revisions; without paths all files of the session."""

    paths: Listed[str] = Field(default=(), max_length=MAX_VERIFIED_PATHS)


class VerificationState(StrEnum):
    """How far a verification is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class CheckedFile(Record):
    """A file that is not as it was committed."""

    path: str
    revision: int
    check: FileCheck
    detail: str = ""


class Verification(Record):
    """One verification, and what it has found so far."""

    id: UUID
    session: str
    state: VerificationState
    total_files: int
    checked_files: int
    checked_bytes: int
    problem_count: int
    problems: Listed[CheckedFile] = Field(description="at most MAX_LISTED_PROBLEMS of them")
    detail: str = Field(default="", description="why it failed")
