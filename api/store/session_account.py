"""Adds up where the exposures of a session are, and finds what does not add up. No database, no clock.

Each figure comes from another place than its counterpart: rows of claims, counters, rows of the outbox, and what the
agents report of their journals. An agent's report is some seconds old. So it is compared only in ways that hold at
every moment: what an agent had sent, the receiver has; what was claimed long before a report, the report knows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from transfer.wire.accounting import AGENTS, AgentAccount, InHands, SessionAccount
from transfer.wire.agent_status import LEASE_S
from transfer.wire.printable import printable

ADVICE = "run `cryoferry receiver check` on the receiver's machine, which names them"
_MOST_OF_AGENT = 3
_ANSWERED = timedelta(seconds=LEASE_S)
"""A claim that is older by so much than an agent's report was answered before the report was made."""


@dataclass(frozen=True, slots=True)
class RegistrarFacts:
    """What one registrar that runs has of a session's published exposures.

    Attributes
    ----------
    shown
        Exposures of which some revision is registered.
    pending, failed
        Exposures whose newest revision is not registered.
    unshown
        Those of the last two of which no revision is registered.
    """

    name: str
    shown: int
    pending: int
    failed: int
    unshown: int


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What is known of an agent.

    Attributes
    ----------
    account
        None: it is older, and reports none.
    claimed_then
        How many exposures of the session were claimed when it reported; None: not known.
    """

    agent: UUID
    host: str
    reported_at: datetime
    has_ended: bool
    account: AgentAccount | None
    claimed_then: int | None = None

    def works(self, moment: datetime) -> bool:
        """Return whether the agent reports."""
        return not self.has_ended and abs(moment - self.reported_at) <= timedelta(seconds=LEASE_S)

    @property
    def name(self) -> str:
        """The host, which is text of a client."""
        return printable(self.host) or "?"

    def describe(self) -> str:
        """Return what became of an agent that does not work."""
        if self.has_ended:
            return f"the agent on {self.name}, which has ended"
        return f"the agent on {self.name}, which has not reported since {self.reported_at:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class InFlight:
    """An exposure that was claimed, and of which nothing is published."""

    agent: UUID | None
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the receiver's database says of a session, all at one moment.

    Attributes
    ----------
    claimed
        Exposures that were claimed or published, with those that were deleted since.
    published
        By their rows.
    counted, rejected
        Published and rejected ones, by the session's counters.
    unregistered_failed, unregistered_waiting
        Published exposures whose newest revision a registrar that runs refused, or has not registered yet.
    unregistered_rejected
        Those of the last two that are rejected.
    in_flight
        Those that were claimed and are not published, by their rows.
    """

    claimed: int
    deleted: int
    published: int
    counted: int
    rejected: int
    unregistered_failed: int = 0
    unregistered_waiting: int = 0
    unregistered_rejected: int = 0
    registrars: tuple[RegistrarFacts, ...] = ()
    in_flight: tuple[InFlight, ...] = ()
    agents: tuple[AgentFacts, ...] = ()


def account_of(facts: SessionFacts, moment: datetime) -> SessionAccount:
    """Return where the exposures of a session are.

    Parameters
    ----------
    moment
        Now: an agent that has been silent for longer than a lease does not work.
    """
    unclaimed = list(_unclaimed(facts, moment))
    in_flight = _in_hands(facts)
    overlooked = _overlooked(facts)
    unregistered = facts.unregistered_failed + facts.unregistered_waiting + max(0, *overlooked.values(), 0)
    registered = max(0, facts.published - unregistered)
    rejected = min(registered, max(0, facts.rejected - facts.unregistered_rejected))
    hands = [*in_flight.values(), *unclaimed]
    waiting_for = {AGENTS: sum(each.waiting for each in hands)}
    waiting_for |= {each.name: each.pending + max(0, overlooked[each.name]) for each in facts.registrars}
    account = SessionAccount(
        seen=facts.claimed + sum(each.total for each in unclaimed),
        accepted=registered - rejected,
        rejected=rejected,
        held=sum(each.held for each in hands),
        failed=sum(each.failed for each in hands) + facts.unregistered_failed,
        waiting=waiting_for[AGENTS] + facts.unregistered_waiting + max(0, *overlooked.values(), 0),
        deleted=facts.deleted,
        waiting_for=waiting_for,
    )
    alarms = (*differences_of(facts, account), *_nobody_works_on(facts, in_flight, moment))
    return account.model_copy(update={"alarms": alarms})


def _overlooked(facts: SessionFacts) -> dict[str, int]:
    """Return how many published exposures are not in the outbox of each registrar."""
    return {each.name: facts.published - each.shown - each.unshown for each in facts.registrars}


def _unclaimed(facts: SessionFacts, moment: datetime) -> Iterator[InHands]:
    """Yield what agents alone know, once for each source: agents of one source see the same movies."""
    for own in _by_source(facts.agents).values():
        agent, account = _best(own, moment)
        told = account.unclaimed
        if agent.works(moment) and agent.claimed_then is not None:  # or else they are counted twice until it reports
            since = max(0, facts.claimed - agent.claimed_then)
            told = told.model_copy(update={"waiting": max(0, told.waiting - since)})
        yield told


def _by_source(agents: tuple[AgentFacts, ...]) -> dict[str, list[tuple[AgentFacts, AgentAccount]]]:
    found = defaultdict(list)
    for agent in agents:
        if agent.account is not None:
            found[agent.account.source].append((agent, agent.account))
    return found


def _best(own: list[tuple[AgentFacts, AgentAccount]], moment: datetime) -> tuple[AgentFacts, AgentAccount]:
    """Return the agent that knows most of a source: of those that work, if one does."""

    def knowledge(each: tuple[AgentFacts, AgentAccount]) -> tuple[bool, int, int, datetime]:
        agent, account = each
        seen = account.seen + account.copies
        return agent.works(moment), seen, -account.unclaimed.total, agent.reported_at

    return max(own, key=knowledge)


def _in_hands(facts: SessionFacts) -> dict[UUID | None, InHands]:
    """Return how the exposures in flight stand, by agent. What is held or failed only their agents know."""
    accounts = {agent.agent: agent.account for agent in facts.agents}
    found = {}
    for agent, count in Counter(each.agent for each in facts.in_flight).items():
        told = (accounts.get(agent) if agent is not None else None) or AgentAccount()
        held = min(count, told.claimed.held)
        failed = min(count - held, told.claimed.failed)
        found[agent] = InHands(waiting=count - held - failed, held=held, failed=failed)
    return found


# ---- what does not add up


def differences_of(facts: SessionFacts, account: SessionAccount) -> Iterator[str]:
    """Yield which figures contradict each other."""
    if not account.adds_up:
        missing = account.seen - account.sum
        counted = "in none of these places" if missing > 0 else "in more than one of these places"
        yield f"{_exposures(abs(missing))} {_are(missing)} {counted}: {ADVICE}"
    if facts.counted != facts.published:
        there = f"{_exposures(facts.published)} {_are(facts.published)} there"
        yield f"{there}, and {facts.counted:,} were published: {ADVICE}"
    for name, count in _overlooked(facts).items():
        if count > 0:
            yield (
                f"{_exposures(count)} {_are(count)} not in the outbox of registrar {name}, which will not register"
                " them: run `cryoferry receiver check --repair` on the receiver's machine"
            )
        elif count < 0:
            yield f"registrar {name} has {_exposures(-count)} more than are published: {ADVICE}"
    for agent in facts.agents:
        yield from _of_agent(facts, agent)


def _of_agent(facts: SessionFacts, agent: AgentFacts) -> Iterator[str]:
    """Yield where an agent's report and the receiver contradict each other."""
    if agent.account is None:
        return
    lost = agent.account.sent - facts.published - facts.deleted
    if lost > 0:
        yield (
            f"the agent on {agent.name} has sent {_exposures(agent.account.sent)}, and the receiver has only"
            f" {facts.published + facts.deleted:,} of them: start that agent again, it sends what is missing"
        )
    long_ago = agent.reported_at - _ANSWERED
    claimed = sum(each.agent == agent.agent and each.claimed_at < long_ago for each in facts.in_flight)
    unknown = claimed - agent.account.claimed.total - agent.account.unclaimed.total
    if unknown > 0:
        yield (
            f"{_exposures(unknown)} {_are(unknown)} claimed by the agent on {agent.name}, whose journal does not have"
            f" {'it' if unknown == 1 else 'them'}: compare with `cryoferry status --check` there"
        )
    yield from (
        f"the journal of the agent on {agent.name}: {printable(alarm)}"
        for alarm in agent.account.alarms[:_MOST_OF_AGENT]
    )


def _nobody_works_on(facts: SessionFacts, in_flight: dict[UUID | None, InHands], moment: datetime) -> Iterator[str]:
    """Yield what waits for agents that do not work, where no other agent of their source does."""
    known = set()
    for source, own in _by_source(facts.agents).items():
        known |= {agent.agent for agent, _ in own}
        if any(agent.works(moment) for agent, _ in own):
            continue
        waiting = _best(own, moment)[1].unclaimed.waiting
        waiting += sum(in_flight[agent.agent].waiting for agent, _ in own if agent.agent in in_flight)
        last = max((agent for agent, _ in own), key=lambda agent: agent.reported_at)
        if waiting:
            where = f" of source {source!r}" if source else ""
            yield (
                f"{_exposures(waiting)}{where} wait{'s' if waiting == 1 else ''} for {last.describe()}: start"
                " `cryoferry watch` there again"
            )
    waiting = sum(hands.waiting for agent, hands in in_flight.items() if agent not in known)
    if waiting and not any(agent.works(moment) for agent in facts.agents):
        yield f"{_exposures(waiting)} {_are(waiting)} claimed by agents that do not report: start them again"


def _exposures(count: int) -> str:
    return f"{count:,} exposure{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if abs(count) == 1 else "are"
