"""Registrations of exposures, and the counters of both, so that nobody has to count rows to show how many there are.

Whoever changes rows of `exposures` or `registrations` calls these functions in the same transaction. A counter then
equals a fresh count at every moment, and reading it costs the same for one exposure and for 50 000.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, case, distinct, func, insert, select, update

from api.database.tables import SUPERSEDED, exposures, projects, registration_counts, registrations, sessions
from transfer.wire.protocol import RegistrationState

UNREGISTERED = (RegistrationState.PENDING.value, RegistrationState.FAILED.value)

Counts = tuple[int, int, int]
"""Exposures that are registered, pending and failed, as the columns of `registration_counts`."""

NOTHING: Counts = (0, 0, 0)


def change_exposure_count(connection: Connection, session_id: int, change: int) -> None:
    """Add a number to the count of a session's exposures."""
    connection.execute(
        update(sessions).where(sessions.c.id == session_id).values(exposure_count=sessions.c.exposure_count + change)
    )


def open_projects(connection: Connection, session_id: int) -> None:
    """Mark the projects of a session as open: the registrars have more to do."""
    connection.execute(update(projects).where(projects.c.session_id == session_id).values(closed=False))


def add_registrations(connection: Connection, exposure: int, revision: int, registrars: Collection[str]) -> None:
    """Have registrars register an exposure's new revision; older ones that are not registered yet never will be.

    Belongs into a block of `counted_registrations`.
    """
    connection.execute(
        update(registrations)
        .where(registrations.c.exposure == exposure, registrations.c.revision < revision)
        .where(registrations.c.state.in_(UNREGISTERED))
        .values(state=SUPERSEDED, detail="superseded by a newer revision")
    )
    for registrar in registrars:
        connection.execute(
            insert(registrations).values(
                exposure=exposure, revision=revision, registrar=registrar, state=RegistrationState.PENDING.value
            )
        )


@contextmanager
def counted_registrations(connection: Connection, session_id: int, keys: Collection[int]) -> Iterator[None]:
    """Bring a session's counters up to date with what the block does to the registrations of some exposures.

    Parameters
    ----------
    keys
        `exposures.id` of every exposure whose revision or registrations the block changes.
    """
    before = _counts(connection, keys)
    yield
    after = _counts(connection, keys)
    for registrar in sorted(before.keys() | after.keys()):
        old, new = before.get(registrar, NOTHING), after.get(registrar, NOTHING)
        if old != new:
            registered, pending, failed = (new[index] - old[index] for index in range(3))
            _add(connection, session_id, registrar, (registered, pending, failed))


def _counts(connection: Connection, keys: Collection[int]) -> dict[str, Counts]:
    """Return how many of some exposures are registered, pending and failed, by registrar."""
    is_newest = registrations.c.revision == exposures.c.revision
    is_registered, is_pending, is_failed = (
        registrations.c.state == state.value
        for state in (RegistrationState.REGISTERED, RegistrationState.PENDING, RegistrationState.FAILED)
    )
    rows = connection.execute(
        select(
            registrations.c.registrar,
            func.count(distinct(case((is_registered, registrations.c.exposure)))),
            func.count(case((is_newest & is_pending, 1))),
            func.count(case((is_newest & is_failed, 1))),
        )
        .join_from(registrations, exposures, registrations.c.exposure == exposures.c.id)
        .where(registrations.c.exposure.in_(keys))
        .group_by(registrations.c.registrar)
    )
    return {registrar: (registered, pending, failed) for registrar, registered, pending, failed in rows}


def _add(connection: Connection, session_id: int, registrar: str, change: Counts) -> None:
    columns = registration_counts.c
    registered, pending, failed = change
    changed = connection.execute(
        update(registration_counts)
        .where(columns.session_id == session_id, columns.registrar == registrar)
        .values(
            registered_count=columns.registered_count + registered,
            pending_count=columns.pending_count + pending,
            failed_count=columns.failed_count + failed,
        )
    )
    if changed.rowcount == 0:
        connection.execute(
            insert(registration_counts).values(
                session_id=session_id,
                registrar=registrar,
                registered_count=registered,
                pending_count=pending,
                failed_count=failed,
            )
        )
