"""Reads from the database what `api.store.session_account` adds up: counters, and rows of what is not done."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select, text

from api.database.tables import (
    agents,
    claimed_exposures,
    exposures,
    movies,
    registration_counts,
    registrations,
    sessions,
    tombstones,
    verdicts,
)
from api.store.session_account import AgentFacts, InFlight, RegistrarFacts, SessionFacts, account_of
from transfer.wire.accounting import AgentAccount, SessionAccount
from transfer.wire.agent_status import LeaseWish
from transfer.wire.protocol import RegistrationState

_IS_UNREGISTERED = text("(registrations.state = 'pending' OR registrations.state = 'failed')")  # as its index says it
CLAIMED_THEN = "claimed_then"
"""A member of an agent's report as it is kept: `AgentFacts.claimed_then`."""
_CLAIMED = select(claimed_exposures.c.session_id, func.count()).group_by(claimed_exposures.c.session_id)
_DELETED = (
    select(tombstones.c.session_id, func.count())
    .where(tombstones.c.exposure_id.is_not(None))
    .group_by(tombstones.c.session_id)
)
_PUBLISHED = select(exposures.c.session_id, func.count()).group_by(exposures.c.session_id)
_COUNTERS = select(sessions.c.id, sessions.c.exposure_count, sessions.c.rejected_count)
_AGENTS = select(agents.c.session_id, agents.c.agent, agents.c.reported_at, agents.c.status)


@dataclass(frozen=True, slots=True)
class _Unregistered:
    failed: int = 0
    waiting: int = 0
    rejected: int = 0


def accounts_of(
    connection: Connection, keys: Collection[int], registrars: Collection[str], moment: datetime
) -> dict[int, SessionAccount]:
    """Return where the exposures of some sessions are, by `sessions.id`.

    Parameters
    ----------
    registrars
        Those that run. One counts for a session once it has a part in its outbox.
    """
    return {key: account_of(facts, moment) for key, facts in facts_of(connection, keys, registrars).items()}


def facts_of(connection: Connection, keys: Collection[int], registrars: Collection[str]) -> dict[int, SessionFacts]:
    """Return what the database says of some sessions, by `sessions.id`."""
    claimed = _counts(connection, _CLAIMED.where(claimed_exposures.c.session_id.in_(keys)))
    deleted = _counts(connection, _DELETED.where(tombstones.c.session_id.in_(keys)))
    published = _counts(connection, _PUBLISHED.where(exposures.c.session_id.in_(keys)))
    reported = _agents(connection, keys)
    by_registrar = _registrars(connection, keys, registrars)
    unregistered = _unregistered(
        connection, [key for key, found in by_registrar.items() if _is_behind(found)], registrars
    )
    found = {}
    for key, counted, rejected in connection.execute(_COUNTERS.where(sessions.c.id.in_(keys))):
        known = claimed.get(key, 0), deleted.get(key, 0), published.get(key, 0)
        in_flight, merged_count = _in_flight(connection, key) if known[0] != known[1] + known[2] else ((), 0)
        own = unregistered.get(key, _Unregistered())
        found[key] = SessionFacts(
            known[0] - merged_count,
            *known[1:],
            counted,
            rejected,
            unregistered_failed=own.failed,
            unregistered_waiting=own.waiting,
            unregistered_rejected=own.rejected,
            registrars=tuple(by_registrar.get(key, ())),
            in_flight=in_flight,
            agents=tuple(reported.get(key, ())),
        )
    return found


def _counts(connection: Connection, query: Any) -> dict[int, int]:
    return {row[0]: row[1] for row in connection.execute(query)}


def claimed_count(connection: Connection, session_id: int) -> int:
    """Return how many exposures of a session were claimed or published, with those that were deleted since."""
    return _counts(connection, _CLAIMED.where(claimed_exposures.c.session_id == session_id)).get(session_id, 0)


def _is_behind(registrars: list[RegistrarFacts]) -> bool:
    return any(each.pending or each.failed for each in registrars)


def is_in_flight() -> ColumnElement[bool]:
    """Return the condition that a row of `claimed_exposures` is neither published nor deleted."""
    same = (exposures, tombstones)
    return and_(
        *(
            ~exists().where(
                table.c.session_id == claimed_exposures.c.session_id,
                table.c.exposure_id == claimed_exposures.c.exposure_id,
            )
            for table in same
        )
    )


def _in_flight(connection: Connection, session_id: int) -> tuple[tuple[InFlight, ...], int]:
    """Return what is in flight, and how many rows are of no exposure any more: their movie was published as another."""
    has_movie = exists().where(movies.c.claimed_exposure == claimed_exposures.c.id)
    wanted = select(claimed_exposures.c.agent, claimed_exposures.c.claimed_at, has_movie.label("has_movie"))
    rows = connection.execute(wanted.where(claimed_exposures.c.session_id == session_id, is_in_flight())).all()
    in_flight = tuple(InFlight(row.agent, row.claimed_at) for row in rows if row.has_movie)
    return in_flight, len(rows) - len(in_flight)


def _registrars(
    connection: Connection, keys: Collection[int], names: Collection[str]
) -> dict[int, list[RegistrarFacts]]:
    """Return what each registrar that runs has of some sessions."""
    counts = registration_counts.c
    rows = connection.execute(
        select(registration_counts).where(counts.session_id.in_(keys), counts.registrar.in_(names))
    ).all()
    behind = [row.session_id for row in rows if row.pending_count or row.failed_count]
    unshown = _unshown(connection, behind, names)
    found: dict[int, list[RegistrarFacts]] = {}
    for row in rows:
        facts = RegistrarFacts(
            name=row.registrar,
            shown=row.registered_count,
            pending=row.pending_count,
            failed=row.failed_count,
            unshown=unshown.get((row.session_id, row.registrar), 0),
        )
        found.setdefault(row.session_id, []).append(facts)
    return found


def _newest_unregistered(keys: Collection[int], names: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that rows of `registrations` and `exposures` are an unregistered newest revision."""
    return and_(
        registrations.c.registrar.in_(names),
        _IS_UNREGISTERED,
        registrations.c.revision == exposures.c.revision,
        exposures.c.session_id.in_(keys),
    )


def _unshown(connection: Connection, keys: Collection[int], names: Collection[str]) -> dict[tuple[int, str], int]:
    """Return how many newest revisions are not registered where no older one is, by session and registrar."""
    if not keys:
        return {}
    older = registrations.alias("older")
    has_older = exists().where(
        older.c.exposure == registrations.c.exposure,
        older.c.registrar == registrations.c.registrar,
        older.c.state == RegistrationState.REGISTERED.value,
    )
    rows = connection.execute(
        select(exposures.c.session_id, registrations.c.registrar, func.count())
        .join_from(registrations, exposures)
        .where(_newest_unregistered(keys, names), ~has_older)
        .group_by(exposures.c.session_id, registrations.c.registrar)
    )
    return {(session_id, registrar): count for session_id, registrar, count in rows}


def _unregistered(connection: Connection, keys: Collection[int], names: Collection[str]) -> dict[int, _Unregistered]:
    """Return how many exposures some registrar has refused, or not registered yet, by session."""
    if not keys:
        return {}
    is_failed = registrations.c.state == RegistrationState.FAILED.value
    each = (
        select(
            exposures.c.session_id,
            exposures.c.id,
            func.max(case((is_failed, 1), else_=0)).label("failed"),
        )
        .join_from(registrations, exposures)
        .where(_newest_unregistered(keys, names))
        .group_by(exposures.c.session_id, exposures.c.id)
        .subquery()
    )
    is_rejected = and_(verdicts.c.is_accepted.is_not(None), ~verdicts.c.is_accepted)
    rows = connection.execute(
        select(
            each.c.session_id,
            func.sum(each.c.failed),
            func.count(),
            func.sum(case((is_rejected, 1), else_=0)),
        )
        .join_from(each, verdicts, verdicts.c.exposure == each.c.id, isouter=True)
        .group_by(each.c.session_id)
    )
    return {key: _Unregistered(failed, count - failed, rejected) for key, failed, count, rejected in rows}


def _agents(connection: Connection, keys: Collection[int]) -> dict[int, list[AgentFacts]]:
    found: dict[int, list[AgentFacts]] = {}
    for row in connection.execute(_AGENTS.where(agents.c.session_id.in_(keys))):
        status = json.loads(row.status)
        facts = AgentFacts(
            agent=row.agent,
            host=status.get("host", ""),
            reported_at=row.reported_at,
            has_ended=status.get("lease") == LeaseWish.RELEASE.value,
            account=_account(status.get("account")),
            claimed_then=status.get(CLAIMED_THEN),
        )
        found.setdefault(row.session_id, []).append(facts)
    return found


def _account(told: object) -> AgentAccount | None:
    try:
        return None if told is None else AgentAccount.model_validate(told)
    except ValidationError:  # of a version that counts in another way
        return None
