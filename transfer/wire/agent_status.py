"""What an agent reports of itself to the receiver, and what people ask of it in return.

An agent reports every few seconds (`PUT /v1/sessions/{session}/agents/{agent}`, an `AgentStatus`); the receiver keeps
the last report. The answer (`AgentRequests`) holds what people asked of this agent. A request is handed out in every
answer until the agent confirms it in a report. No exposure's fate depends on a report.

Both sides ignore fields that they do not know, so that a newer agent can report to an older receiver and the reverse.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from transfer.wire.accounting import AgentAccount, SessionAccount
from transfer.wire.fail_fast import Listed, Named
from transfer.wire.versions import NEWEST_PROTOCOL

MAX_STATUS_BYTES = 16_000
"""A report has at most this many bytes as JSON."""

LEASE_S = 60
"""An agent loses its session's lease when it has not reported for so many seconds."""

MAX_OPEN_REQUESTS = 32
"""An agent has at most this many requests that it has not confirmed."""


class Message(BaseModel):
    """Immutable data; fields that are not known are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class RequestKind(StrEnum):
    """What can be asked of an agent."""

    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"


class RequestOutcome(StrEnum):
    """What an agent made of a request."""

    DONE = "done"
    REFUSED = "refused"


class Rates(Message):
    """How fast the agent works."""

    movies_per_hour: float | None = Field(default=None, ge=0)
    upload_bytes_per_s: float | None = Field(default=None, ge=0)


class DiskSpace(Message):
    """The disk of the agent's work folder."""

    work_free_bytes: int = Field(ge=0)
    work_reserve_bytes: int = Field(ge=0, description="the agent aligns nothing while less than this is free")


class Limits(Message):
    """What limits the upload."""

    upload_bytes_per_s: float | None = Field(default=None, ge=0, description="None: no limit")
    connections: int | None = Field(default=None, ge=0)


class LastError(Message):
    """The newest error."""

    at: AwareDatetime
    text: str


class Confirmation(Message):
    """What the agent made of a request."""

    id: UUID
    outcome: RequestOutcome
    reason: str = Field(default="", description="why it was refused")


class LeaseWish(StrEnum):
    """What an agent wants of its session's lease. An agent without the lease neither aligns nor sends."""

    NONE = "none"  # an agent that knows no leases
    SINGLE = "single"  # to be the only agent of the session
    BESIDE = "beside"  # to work beside others
    TAKE_OVER = "take-over"  # to be the only agent from now on: the others lose the lease
    RELEASE = "release"  # the agent ends; another one may begin


class Lease(Message):
    """Whether the agent that reported may work, or who works instead."""

    granted: bool
    agent: UUID | None = Field(default=None, description="who holds the lease instead")
    host: str = Field(default="", description="the host of that agent")
    since: AwareDatetime | None = Field(default=None, description="since when that agent holds it")


class ReceiverState(Message):
    """What tells an agent that the receiver went back in time, was replaced, or lost files."""

    folder_id: UUID = Field(description="of the data folder")
    sequence: int = Field(ge=0, description="number of the newest commit in the data folder; it never falls")
    losses: int = Field(ge=0, description="rises when the receiver finds that it has lost committed files")
    session_uuid: UUID = Field(description="of the session; another one under the same name is another session")


class AgentStatus(Message):
    """One report of an agent.

    `stage_seconds` gives, for each stage of the work, how long it takes per movie.
    """

    host: str = Field(max_length=255, description="a label for people; the agent's id is a UUID")
    version: str = Field(max_length=64, description="of cryoferry on the agent")
    protocol: int = Field(default=NEWEST_PROTOCOL, ge=1, description="the newest version that the agent speaks")
    started_at: AwareDatetime
    counts: Named[int] = Field(default_factory=dict, description="exposures by their state")
    released_unsent_count: int = Field(
        default=0, ge=0, description="those of `released` that were not sent, such as a movie under another name"
    )
    account: AgentAccount | None = Field(default=None, description="where every exposure is; null: an older agent")
    queues: Named[int] = Field(default_factory=dict, description="what waits, by queue")
    stage_seconds: Named[float] = Field(default_factory=dict, description="s per movie, by stage")
    rates: Rates = Rates()
    disk: DiskSpace | None = None
    limits: Limits = Limits()
    last_error: LastError | None = None
    troubles: Listed[str] = Field(default=(), description="what keeps the agent from working now")
    paused: bool = False
    lease: LeaseWish = LeaseWish.NONE
    confirmed: Listed[Confirmation] = Field(
        default=(), description="what was made of requests; repeated until a report was answered"
    )


class AgentRequest(Message):
    """A request to an agent.

    `kind` is text: an older agent can refuse a newer kind by name.
    """

    id: UUID
    kind: str
    exposure_id: UUID | None = Field(default=None, description="which exposure to retry")


class AgentRequests(Message):
    """The answer to a report: what is asked of the agent, oldest first; whether it may work; how the receiver is."""

    requests: Listed[AgentRequest] = ()
    lease: Lease | None = Field(default=None, description="null if the report wished for none")
    receiver: ReceiverState | None = Field(default=None, description="null from an older receiver")
    account: SessionAccount | None = Field(
        default=None, description="where every exposure of the session is; not in every answer"
    )


class NewRequest(BaseModel):
    """A request to an agent, as an admin sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: RequestKind
    exposure_id: UUID | None = Field(default=None, description="needed for retry; not given with pause and resume")

    @model_validator(mode="after")
    def _check(self) -> NewRequest:
        if (self.kind == RequestKind.RETRY) != (self.exposure_id is not None):
            raise ValueError("retry needs an exposure_id; pause and resume have none")
        return self


class RequestStatus(AgentRequest):
    """A request, and what the agent made of it."""

    requested_at: AwareDatetime
    outcome: RequestOutcome | None = Field(default=None, description="None: not confirmed yet")
    reason: str = ""


class KnownAgent(Message):
    """An agent as the receiver knows it: its last report, and the newest requests to it."""

    agent: UUID
    reported_at: AwareDatetime = Field(description="by the receiver's clock")
    status: AgentStatus
    requests: Listed[RequestStatus] = ()


class AgentList(Message):
    """The agents that reported to a session, in the order of their first report."""

    agents: Listed[KnownAgent]
