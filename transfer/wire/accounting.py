"""Where every exposure of a session is, in one line that is the same everywhere.

    seen = registered (accepted or rejected) + held + failed + waiting + deleted

`seen` counts exposures, not files: a movie under two paths, a second revision, and a movie that several agents found
are one. An exposure stands where its newest published revision is; that it is being done again changes nothing. Agents
count what they have (`AgentAccount`, part of each report), the receiver counts what it has, and compares the two
(`api.store.session_account`). A sum that differs means that something was lost: it is told as an alarm.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from transfer.wire.fail_fast import Listed, Named
from transfer.wire.receipt import Record

AGENTS = "agents"
"""In `waiting_for`: exposures that are not published yet."""


class InHands(Record):
    """Exposures that an agent has, of which nothing is published."""

    waiting: int = Field(default=0, ge=0, description="found, finished, aligned, or on their way")
    held: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)

    @property
    def total(self) -> int:
        """Return how many there are."""
        return self.waiting + self.held + self.failed


class AgentAccount(Record):
    """Where the exposures are that one agent has seen, by its journal."""

    source: str = Field(default="", description="the option --source: agents of one source see the same movies")
    sent: int = Field(default=0, ge=0, description="the receiver has some revision of them, or deleted them")
    again: int = Field(default=0, ge=0, description="those of `sent` that are done again, or are held or failed then")
    claimed: InHands = Field(default=InHands(), description="the receiver knows them")
    unclaimed: InHands = Field(default=InHands(), description="the receiver does not know them yet")
    copies: int = Field(default=0, ge=0, description="further paths of exposures that are counted already")
    alarms: Listed[str] = Field(default=(), description="what is wrong with the journal's own figures")

    @property
    def seen(self) -> int:
        """Return how many exposures there are."""
        return self.sent + self.claimed.total + self.unclaimed.total

    @property
    def waiting(self) -> int:
        """Return how many are not sent yet, and go on by themselves."""
        return self.claimed.waiting + self.unclaimed.waiting

    @property
    def held(self) -> int:
        """Return how many wait for a person."""
        return self.claimed.held + self.unclaimed.held

    @property
    def failed(self) -> int:
        """Return how many could not be done."""
        return self.claimed.failed + self.unclaimed.failed

    def line(self) -> str:
        """Return the line as far as an agent alone can tell: it does not know what is registered."""
        parts = f"{self.sent:,} sent + {self.held:,} held + {self.failed:,} failed + {self.waiting:,} waiting"
        again = f"; {self.again:,} of the sent are being done again" if self.again else ""
        copies = f"; {self.copies:,} more are copies of these" if self.copies else ""
        return f"{self.seen:,} seen = {parts}{again}{copies}"


class SessionAccount(Record):
    """Where the exposures of a session are, by the receiver and the last reports of its agents."""

    seen: int = Field(ge=0, description="those that the receiver knows, and those that agents alone know")
    accepted: int = Field(ge=0, description="registered by every registrar that runs, and accepted")
    rejected: int = Field(ge=0, description="registered by every registrar that runs, and rejected")
    held: int = Field(ge=0)
    failed: int = Field(ge=0, description="with an agent, or with a registrar")
    waiting: int = Field(ge=0)
    deleted: int = Field(ge=0, description="on purpose")
    waiting_for: Named[int] = Field(
        default_factory=dict, description="what waits: for `agents`, or for a registrar; one can wait for several"
    )
    alarms: Listed[str] = Field(default=(), description="what does not add up, and what to do")

    @property
    def registered(self) -> int:
        """Return how many every registrar that runs has registered in their newest revision."""
        return self.accepted + self.rejected

    @property
    def sum(self) -> int:
        """Return the right side of the line."""
        return self.registered + self.held + self.failed + self.waiting + self.deleted

    @property
    def adds_up(self) -> bool:
        """Whether every exposure that was seen stands in exactly one place."""
        return self.seen == self.sum

    def line(self) -> str:
        """Return the line."""
        waits = ", ".join(f"{count:,} for {name}" for name, count in self.waiting_for.items() if count)
        return (
            f"{self.seen:,} seen {'=' if self.adds_up else '≠'} {self.registered:,} registered"
            f" ({self.accepted:,} accepted, {self.rejected:,} rejected) + {self.held:,} held + {self.failed:,} failed"
            f" + {self.waiting:,} waiting{f' ({waits})' if waits else ''} + {self.deleted:,} deleted"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, with the line."""
        return {**self.model_dump(mode="json"), "adds_up": self.adds_up, "line": self.line()}
