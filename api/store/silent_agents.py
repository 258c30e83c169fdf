"""Finds agents that have stopped to report without saying that they end, and those that report again.

An agent that works holds a lease and renews it with each report; one that ends gives it back. So a lease that is not
renewed belongs to an agent that was killed, hangs, or cannot reach the receiver. One process of a receiver looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, select

from api.database.engine import Database
from api.database.tables import leases, sessions
from api.store.leases import FORGOTTEN_AFTER
from transfer.disk.locks import FileLock
from transfer.wire.agent_status import LEASE_S

_SILENCE = timedelta(seconds=LEASE_S)
_HELD = (
    select(leases.c.session_id, sessions.c.name, leases.c.agent, leases.c.host, leases.c.renewed_at)
    .join_from(leases, sessions)
    .where(leases.c.lost_to.is_(None), leases.c.renewed_at > bindparam("after"))
    .order_by(leases.c.renewed_at)
)


@dataclass(frozen=True, slots=True)
class AgentNews:
    """An agent that is silent, or reports again.

    Attributes
    ----------
    is_back
        It reports again.
    since
        When it reported last before it was silent.
    """

    session: str
    agent: UUID
    host: str
    is_back: bool
    since: datetime


class SilentAgents:
    """Remembers which agents are silent.

    Parameters
    ----------
    leader
        The lock of the process that looks.
    """

    def __init__(self, database: Database, leader: FileLock) -> None:
        self._database = database
        self._leader = leader
        self._silent: dict[tuple[int, UUID], datetime] = {}
        self._reachable_since: datetime | None = None  # the receiver, without a gap
        self._looked_at: datetime | None = None

    def look(self, moment: datetime) -> list[AgentNews]:
        """Return what has changed since the last call.

        No agent counts as silent before it had the time to report: after the receiver's start, after a time in which
        the database or this process did not work, and after the clock was changed.

        Raises
        ------
        OSError, SQLAlchemyError
        """
        if not self._leader.try_acquire():
            return []
        looked_at, self._looked_at = self._looked_at, None
        with self._database.read() as connection:
            held = connection.execute(_HELD, {"after": moment - FORGOTTEN_AFTER}).all()
        self._looked_at = moment
        if looked_at is None or self._reachable_since is None or not timedelta() <= moment - looked_at < _SILENCE:
            self._reachable_since = moment
        has_grace = moment - self._reachable_since <= _SILENCE
        return list(self._changes(held, moment, has_grace=has_grace))

    def _changes(self, held: list[Row[Any]] | Any, moment: datetime, *, has_grace: bool) -> Iterator[AgentNews]:
        silent, self._silent = self._silent, {}
        for row in held:
            key = (row.session_id, row.agent)
            was_since = silent.get(key)
            is_silent = moment - row.renewed_at > _SILENCE
            if was_since is not None and is_silent:
                self._silent[key] = was_since
            elif was_since is not None:
                yield AgentNews(row.name, row.agent, row.host, True, was_since)
            elif is_silent and not has_grace:
                self._silent[key] = row.renewed_at
                yield AgentNews(row.name, row.agent, row.host, False, row.renewed_at)

    def close(self) -> None:
        """Leave it to another process."""
        self._leader.release()
