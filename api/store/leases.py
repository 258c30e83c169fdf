"""Leases: which agent of a session may work. Claims protect the data; a lease saves agents from doing work twice.

An agent asks for the lease in each report, and keeps it while it reports at least every `LEASE_S`. An agent that was
silent for longer keeps it all the same if nobody else took it meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, select, update

from api.database.tables import add_event, agents, leases
from transfer.wire.agent_status import LEASE_S, AgentStatus, Lease, LeaseWish

FORGOTTEN_AFTER = timedelta(days=1)
"""The lease of an agent that has been silent for so long is removed."""

TAKEN_OVER = "lease-taken-over"
"""The kind of the event."""

_OWN = and_(leases.c.session_id == bindparam("session"), leases.c.agent == bindparam("of_agent"))
_RENEW = (
    update(leases)
    .where(_OWN, leases.c.lost_to.is_(None), leases.c.started_at == bindparam("of_start"))
    .where(leases.c.renewed_at.between(bindparam("after"), bindparam("before")))
    .values(renewed_at=bindparam("moment"), host=bindparam("of_host"))
    .returning(leases.c.agent)
)
_ALL = select(leases).where(leases.c.session_id == bindparam("session")).order_by(leases.c.since, leases.c.agent)
_REMOVE = delete(leases).where(_OWN)
_ADD = insert(leases)
_LOSE = update(leases).where(_OWN).values(lost_to=bindparam("to"))
_SEEN = (
    select(agents.c.agent, agents.c.reported_at, agents.c.status, leases.c.agent.label("has_lease"))
    .join(
        leases,
        and_(leases.c.session_id == agents.c.session_id, leases.c.agent == agents.c.agent, leases.c.lost_to.is_(None)),
        isouter=True,
    )
    .where(agents.c.session_id == bindparam("session"), agents.c.agent.in_(bindparam("of_agents", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """What the receiver has seen of an agent.

    Attributes
    ----------
    may_work
        It has the session's lease, or knows no leases.
    """

    reported_at: datetime
    host: str
    may_work: bool


def seen_agents(connection: Connection, session_id: int, wanted: Collection[UUID]) -> dict[UUID, SeenAgent]:
    """Return what the receiver has seen of some agents of a session; of an agent that never reported, nothing."""
    if not wanted:
        return {}
    found = {}
    for row in connection.execute(_SEEN, {"session": session_id, "of_agents": list(wanted)}):
        status = json.loads(row.status)
        knows_leases = status.get("lease", LeaseWish.NONE.value) != LeaseWish.NONE.value
        may_work = row.has_lease is not None or not knows_leases
        found[row.agent] = SeenAgent(row.reported_at, status.get("host", ""), may_work)
    return found


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """What an agent's wish for the lease led to.

    Attributes
    ----------
    lease
        None if it asked for none.
    taken_from
        The agents that lost the lease to it, and their hosts.
    is_released
        It had the lease and gave it back.
    """

    lease: Lease | None
    taken_from: tuple[tuple[UUID, str], ...] = ()
    is_released: bool = False


def lease_of(
    connection: Connection, session_id: int, agent: UUID, status: AgentStatus, moment: datetime
) -> LeaseAnswer:
    """Give, renew, refuse or release the lease that an agent asks for in its report."""
    if status.lease == LeaseWish.NONE:
        return LeaseAnswer(None)
    if status.lease == LeaseWish.RELEASE:
        removed = connection.execute(_REMOVE, {"session": session_id, "of_agent": agent})
        return LeaseAnswer(Lease(granted=False), is_released=removed.rowcount > 0)
    if _is_renewed(connection, session_id, agent, status, moment):
        return LeaseAnswer(Lease(granted=True))
    rows = connection.execute(_ALL, {"session": session_id}).all()
    own = next((row for row in rows if row.agent == agent and row.started_at == status.started_at), None)
    others = [row for row in rows if row.agent != agent and row.lost_to is None and _is_alive(row, moment)]
    if (holder := _holder(status.lease, own, others)) is not None:
        return LeaseAnswer(Lease(granted=False, agent=holder.agent, host=holder.host, since=holder.since))
    losers = others if status.lease == LeaseWish.TAKE_OVER else []
    for other in losers:
        connection.execute(_LOSE, {"session": session_id, "of_agent": other.agent, "to": agent})
        add_event(connection, session_id, TAKEN_OVER, str(agent), f"{status.host} from {other.agent} ({other.host})")
    _give(connection, session_id, agent, status, moment, rows)
    return LeaseAnswer(Lease(granted=True), tuple((other.agent, other.host) for other in losers))


def _is_renewed(connection: Connection, session_id: int, agent: UUID, status: AgentStatus, moment: datetime) -> bool:
    """Renew the lease of an agent that holds it, in one statement."""
    limit = timedelta(seconds=LEASE_S)
    own = {"session": session_id, "of_agent": agent, "of_start": status.started_at, "of_host": status.host}
    times = {"moment": moment, "after": moment - limit, "before": moment + limit}
    return connection.execute(_RENEW, {**own, **times}).first() is not None


def _is_alive(row: Row[Any], moment: datetime) -> bool:
    silence: timedelta = moment - row.renewed_at
    return abs(silence) <= timedelta(seconds=LEASE_S)  # abs: the clock may be set back


def _holder(wish: LeaseWish, own: Row[Any] | None, others: list[Row[Any]]) -> Row[Any] | None:
    """Return who holds the lease instead of the agent; None if the agent may have it.

    Who lost it waits for the end of the agent that took it over, whatever it asks for: two agents that both want to
    take it over would otherwise take it in turns.

    Parameters
    ----------
    own
        The agent's own lease, which has run out or was taken over; None: it had none since it started.
    others
        Leases of other agents that have not run out.
    """
    if own is not None and own.lost_to is not None:
        taker = next((other for other in others if other.agent == own.lost_to), None)
        if taker is not None:
            return taker
    if wish in (LeaseWish.BESIDE, LeaseWish.TAKE_OVER):
        return None
    if own is not None and own.lost_to is None:  # nobody took it, though agents may have begun beside it
        others = [other for other in others if not other.beside]
    return others[0] if others else None


def _give(
    connection: Connection,
    session_id: int,
    agent: UUID,
    status: AgentStatus,
    moment: datetime,
    rows: Collection[Row[Any]],
) -> None:
    """Give the lease to an agent. Leases that have run out end here if the agent is to be the only one."""
    is_beside = status.lease == LeaseWish.BESIDE
    for row in rows:
        is_over = row.lost_to is None and not _is_alive(row, moment) and not is_beside
        if row.agent == agent or is_over or moment - row.renewed_at > FORGOTTEN_AFTER:
            connection.execute(_REMOVE, {"session": session_id, "of_agent": row.agent})
    connection.execute(
        _ADD,
        {
            "session_id": session_id,
            "agent": agent,
            "host": status.host,
            "beside": is_beside,
            "started_at": status.started_at,
            "since": moment,
            "renewed_at": moment,
        },
    )
