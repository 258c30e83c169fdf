"""How an agent claims exposures before it works on them, so that each movie is one exposure, whoever sends it.

`POST /v1/sessions/{session}/exposures/claim` takes a `ClaimBatch` and answers each `MovieClaim` with a `ClaimAnswer`.
The receiver decides in this order: a known movie digest is that exposure, and another path becomes its alias; a known
path of the same source is the next revision of its exposure; everything else is a new exposure.

The sampled digest decides first, because it can be computed without reading the whole movie. Where it is not enough the
answer is `digest-needed`, and the agent claims again with the movie digest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from transfer.wire.fail_fast import Listed, Named
from transfer.wire.receipt import MAX_REVISION, Record

MAX_CLAIMS = 500
"""A batch has at most this many claims."""

LONGEST_SOURCE_NAME = 200
"""Characters of the name that tells sources of one session apart."""

SAMPLE_BYTES = 1 << 20
"""The sampled digest covers this many bytes at a time."""
SAMPLE_COUNT = 16
"""The sampled digest covers this many samples: the first, the last, and 14 that are spaced evenly between them."""

WHOLE_UP_TO_BYTES = SAMPLE_BYTES * SAMPLE_COUNT
"""The sampled digest of a movie up to this size covers all its bytes."""

FileDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SourceText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Suffix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.+=@#(),-]{1,100}$")]


def samples(size_bytes: int) -> list[range]:
    """Return which bytes of a movie its sampled digest covers, in the order in which they are hashed.

    The digest is BLAKE3 over the movie's size (8 bytes, unsigned, the lowest byte first) followed by these bytes. A
    movie of at most `WHOLE_UP_TO_BYTES` is one range. Of a larger one, sample k of 0 to 15 begins at byte
    k * (size - SAMPLE_BYTES) // 15: the first sample begins the file, the last one ends it, and none overlap.
    """
    if size_bytes <= WHOLE_UP_TO_BYTES:
        return [range(size_bytes)]
    last_begin = size_bytes - SAMPLE_BYTES
    begins = [number * last_begin // (SAMPLE_COUNT - 1) for number in range(SAMPLE_COUNT)]
    return [range(begin, begin + SAMPLE_BYTES) for begin in begins]


class ClaimReason(StrEnum):
    """Why an agent wants to align a movie."""

    NEW = "new"  # the agent's journal does not say that it was done
    RETRY = "retry"  # a person wants it again
    LATE_INPUT = "late-input"  # its gain reference, defects or sidecar came late
    CHANGED = "changed"  # the movie's content changed after it was committed


class ClaimStatus(StrEnum):
    """What the receiver decided."""

    CLAIMED = "claimed"  # align it and send it, as this exposure, revision and stem
    COMMITTED = "committed"  # the receiver has it: nothing to do
    ELSEWHERE = "elsewhere"  # another agent works on it: ask again later
    DIGEST_NEEDED = "digest-needed"  # claim it again with the digest of the whole movie
    DELETED = "deleted"  # it was deleted on purpose: do not send it again


class MovieClaim(Record):
    """One movie that an agent wants to align, or has aligned and wants to send."""

    exposure_id: UUID = Field(description="the id that a new exposure gets; made by the agent")
    stem: str = Field(min_length=1, max_length=900, description="the name that a new exposure's files get, no suffix")
    source: SourceText = Field(
        default="", max_length=LONGEST_SOURCE_NAME, description="name of the source; paths are unique within it"
    )
    path: SourceText = Field(min_length=1, max_length=4096, description="of the movie, relative to the source")
    size_bytes: int = Field(ge=0, description="of the movie")
    sampled_digest: FileDigest = Field(description="BLAKE3 over samples of the movie and its size")
    movie_digest: FileDigest | None = Field(default=None, description="BLAKE3 over the whole movie, as b3sum prints it")
    settings_digest: FileDigest | None = Field(default=None, description="of all else that decides the result")
    reason: ClaimReason = ClaimReason.NEW
    suffixes: Listed[Suffix] = Field(
        default=(), max_length=64, description="of the files that will be sent: their names after the stem"
    )


class ClaimBatch(Record):
    """What one agent claims."""

    agent: UUID
    claims: Listed[MovieClaim] = Field(min_length=1, max_length=MAX_CLAIMS)


class ClaimAnswer(Record):
    """What the receiver decided about one movie. The exposure, revision and stem hold for `claimed` and `committed`."""

    status: ClaimStatus
    exposure_id: UUID | None = None
    revision: int = Field(default=1, ge=1, le=MAX_REVISION, description="of the record to publish, or the newest one")
    stem: str = ""
    file_revisions: Named[int] = Field(
        default_factory=dict, description="by suffix: the newest revision of that file that is committed"
    )
    detail: str = Field(default="", description="for people: which agent works on it, or why it was deleted")


class ClaimAnswers(Record):
    """The answers to a batch, in its order."""

    answers: Listed[ClaimAnswer]
