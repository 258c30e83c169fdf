"""Verdicts: whether exposures are accepted or rejected, who says so, and the thresholds that reject.

An exposure is rejected while one of its figures is beyond a threshold of its session. What a person says about it holds
instead until that is withdrawn. An exposure without a figure is not judged by the thresholds of that figure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, FiniteFloat, model_validator

from transfer.wire.fail_fast import Listed
from transfer.wire.receipt import Record

MOST_VERDICTS = 500
"""Of one batch."""
MAX_COMMENT = 500
"""Characters of a comment."""

Comment = Annotated[str, Field(max_length=MAX_COMMENT, description="why, for people")]


class VerdictBy(StrEnum):
    """Who decides about an exposure. What a person says holds until it is withdrawn."""

    THRESHOLD = "threshold"
    PERSON = "person"


class Side(StrEnum):
    """Which values a threshold rejects: those above it, or those below. Its own value is accepted."""

    ABOVE = "above"
    BELOW = "below"


class StartingThreshold(NamedTuple):
    """A threshold that a session begins with."""

    figure: str
    side: Side
    value: float


class ThresholdValue(Record):
    """The value of a threshold."""

    value: FiniteFloat


class Threshold(Record):
    """A threshold of a session, who set it, and when."""

    figure: str
    side: Side
    value: FiniteFloat
    token_id: str | None = Field(default=None, description="of the token that set it; null: the receiver's settings")
    set_at: AwareDatetime


class SessionThresholds(Record):
    """The thresholds of a session, by figure, and what they lead to."""

    thresholds: Listed[Threshold]
    exposure_count: int
    rejected_count: int = Field(description="exposures that are rejected, by thresholds and by people")
    judged: bool = Field(default=True, description="false: some exposures are yet to be judged by these thresholds")


class Exceeded(Record):
    """A figure of an exposure that is beyond a threshold."""

    figure: str
    value: FiniteFloat
    side: Side
    threshold: FiniteFloat


class Verdict(Record):
    """Whether an exposure is accepted, and who says so."""

    accepted: bool
    by: VerdictBy
    at: AwareDatetime | None = Field(default=None, description="since when; null: it was always accepted")
    token_id: str | None = Field(default=None, description="of the person's token")
    comment: str = ""
    exceeded: Listed[Exceeded] = Field(
        default=(), description="figures beyond the session's thresholds, also where a person has accepted the exposure"
    )


class PersonVerdict(Record):
    """What a person says about an exposure."""

    accepted: bool
    comment: Comment = ""


class VerdictOfBatch(Record):
    """What a person says about one exposure, which is named by its id or by the name of its micrograph."""

    exposure_id: UUID | None = None
    micrograph_name: str | None = Field(default=None, max_length=300)
    accepted: bool | None = Field(description="null: what a person said is withdrawn, the thresholds decide again")
    comment: Comment = ""

    @model_validator(mode="after")
    def _has_one_name(self) -> Self:
        if (self.exposure_id is None) == (self.micrograph_name is None):
            raise ValueError("name the exposure by its exposure_id or by its micrograph_name")
        return self


def verdict_of(exposure: str, *, accepted: bool | None, comment: str = "") -> VerdictOfBatch:
    """Return what a person says about an exposure, which is named by its id or by the name of its micrograph."""
    try:
        return VerdictOfBatch(exposure_id=UUID(exposure), accepted=accepted, comment=comment)
    except ValueError:
        return VerdictOfBatch(micrograph_name=exposure, accepted=accepted, comment=comment)


class VerdictBatch(Record):
    """What a person says about several exposures of a session; all of it is taken over, or nothing."""

    verdicts: Listed[VerdictOfBatch] = Field(min_length=1, max_length=MOST_VERDICTS)


class ExposureVerdict(Verdict):
    """The verdict about one exposure of a batch."""

    exposure_id: UUID
    micrograph_name: str


class VerdictAnswers(Record):
    """The verdicts about the exposures of a batch, in its order."""

    verdicts: Listed[ExposureVerdict]
