"""Sessions: start, end, reopen, show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator
from sqlalchemy import ColumnElement, Connection, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from api.access.guard import Bearer, GuardedRoute, permits
from api.access.permissions import Permission
from api.database.engine import Database
from api.database.registrations import open_projects
from api.database.tables import EXPORTS, add_event, now, projects, registration_counts, sessions
from api.exports.ended_sessions import export_when_over
from api.http.openapi import problems
from api.receiver import Receiver, receiver_of
from api.routes.session_lines import log_in_session
from api.store.account_facts import accounts_of
from api.store.receiver_state import no_session
from api.store.thresholds import start_with
from transfer.wire import protocol
from transfer.wire.errors import BadName, LimitReached, NameDiffersInCase, NotFound, ScopeRejected
from transfer.wire.names import check_session_name, folded
from transfer.wire.protocol import Session, SessionList, SessionState
from transfer.wire.verdict import StartingThreshold

SessionName = Annotated[str, AfterValidator(check_session_name)]
"""A route's parameter: a name that a session may have."""

router = APIRouter(tags=["sessions"], route_class=GuardedRoute)

MAX_SESSIONS = 10_000
"""How many sessions one token may begin."""
PAGE = 1000
PAGE_BYTES = 1_000_000
"""A page ends when its sessions have about so many bytes; it has one session at least."""
SESSION_BYTES = 500
"""Of a session in a list, without the places of its projects."""


_COUNTS = select(
    registration_counts.c.session_id,
    registration_counts.c.registrar,
    registration_counts.c.registered_count,
    registration_counts.c.pending_count,
    registration_counts.c.failed_count,
)
_PROJECTS = select(projects.c.session_id, projects.c.registrar, projects.c.location, projects.c.closed).where(
    projects.c.registrar != EXPORTS
)


def session_id_of(connection: Connection, name: str) -> int:
    """Return the key of a session in the database.

    Raises
    ------
    NotFound
    """
    session_id: int | None = connection.scalar(select(sessions.c.id).where(sessions.c.name == name))
    if session_id is None:
        raise no_session(name)
    return session_id


def _sessions(connection: Connection, condition: ColumnElement[bool], receiver: Receiver) -> list[Session]:
    """Return sessions as the protocol shows them, oldest first."""
    registrars, troubles = receiver.registrar_names, receiver.registrars.troubles()
    rows = connection.execute(select(sessions).where(condition).order_by(sessions.c.id)).all()
    registered: dict[int, dict[str, int]] = {}
    failed: dict[int, dict[str, int]] = {}
    located: dict[int, dict[str, str]] = {}
    unfinished: set[int] = set()
    for session_id, registrar, registered_count, pending_count, failed_count in connection.execute(
        _COUNTS.join(sessions).where(condition)
    ).all():
        registered.setdefault(session_id, {})[registrar] = registered_count
        failed.setdefault(session_id, {})[registrar] = failed_count
        if pending_count or failed_count:
            unfinished.add(session_id)
    for session_id, registrar, location, closed in connection.execute(_PROJECTS.join(sessions).where(condition)).all():
        located.setdefault(session_id, {})[registrar] = location
        if not closed:
            unfinished.add(session_id)
    accounts = accounts_of(connection, [row.id for row in rows], registrars, receiver.clock())
    return [
        Session(
            name=row.name,
            uuid=row.uuid,
            state=SessionState(row.state),
            closed=row.state == SessionState.ENDED.value and row.id not in unfinished,
            created_at=row.created_at,
            exposure_count=row.exposure_count,
            rejected_count=row.rejected_count,
            registrars=registrars,
            registered_count=dict.fromkeys(registrars, 0) | registered.get(row.id, {}),
            failed_count=dict.fromkeys(registrars, 0) | failed.get(row.id, {}),
            projects=located.get(row.id, {}),
            account=accounts[row.id],
            waiting=tuple(
                one for one in troubles if one.session == row.name or (one.session is None and row.id in unfinished)
            ),
        )
        for row in rows
    ]


def _session(connection: Connection, name: str, receiver: Receiver) -> Session:
    """Return a session; what does not add up in it is logged."""
    session = _sessions(connection, sessions.c.name == name, receiver)[0]
    if session.account is not None:
        receiver.alarms.take(name, session.account)
    return session


def create_session(database: Database, name: str, token_id: str, starting: Iterable[StartingThreshold] = ()) -> bool:
    """Make a session; return False if it exists already.

    Parameters
    ----------
    starting
        The thresholds that it begins with.

    Raises
    ------
    NameDiffersInCase
        The name differs only in upper and lower case from another session's.
    LimitReached
        The token has begun too many.
    """
    try:
        with database.write() as connection:
            there = connection.scalars(select(sessions.c.name).where(sessions.c.folded == folded(name))).all()
            if name in there:
                return False
            if there:
                raise NameDiffersInCase(
                    f"the name {name!r} differs only in upper and lower case from the session {there[0]!r}",
                    hint=f"Use the session {there[0]!r}, or a name that differs in more than upper and lower case.",
                    existing=there[0],
                )
            begun = connection.scalar(select(func.count()).where(sessions.c.token_id == token_id)) or 0
            if begun >= MAX_SESSIONS:
                raise LimitReached(
                    f"this token has begun {begun} sessions, a token begins at most {MAX_SESSIONS}",
                    hint="Create another token for further sessions (`cryoferry token create`).",
                )
            made = connection.execute(
                insert(sessions)
                .values(name=name, token_id=token_id, state=SessionState.OPEN.value, created_at=now())
                .returning(sessions.c.id)
            )
            session_id = made.scalar_one()
            add_event(connection, session_id, "session-started", name)
            start_with(connection, session_id, starting)
    except IntegrityError:  # another process made it at the same time
        return False
    return True


def _change(request: Request, name: str, state: SessionState, kind: str) -> Session:
    receiver = receiver_of(request)
    ended_at = now() if state == SessionState.ENDED else None
    with receiver.database.write() as connection:
        session_id = session_id_of(connection, name)
        changed = connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.state != state.value)
            .values(state=state.value, ended_at=ended_at)
        )
        if changed.rowcount:
            if state == SessionState.ENDED:
                export_when_over(connection, session_id, receiver.exporter.place(name).folder)
            open_projects(connection, session_id)
            add_event(connection, session_id, kind, name)
        session = _session(connection, name, receiver)
    if changed.rowcount:
        log_in_session(request, name, kind.removeprefix("session-"))
    return session


@router.put(
    protocol.SESSION,
    dependencies=[permits(Permission.WRITE)],
    status_code=201,
    response_model=Session,
    responses={
        200: {"model": Session, "description": "The session exists already."},
        **problems(ScopeRejected, BadName, NameDiffersInCase, LimitReached),
    },
)
def start_session(session: SessionName, request: Request, response: Response, token: Bearer) -> Session:
    """Start a session. A session that exists is returned unchanged."""
    receiver = receiver_of(request)
    response.status_code = 200
    if create_session(receiver.database, session, token.id, receiver.settings.thresholds):
        response.status_code = 201
        log_in_session(request, session, "begun")
    with receiver.database.read() as connection:
        return _session(connection, session, receiver)


@router.get(protocol.SESSIONS, dependencies=[permits(Permission.TOKEN)], responses=problems())
def list_sessions(
    request: Request,
    token: Bearer,
    after: Annotated[
        str | None,
        Query(
            pattern="^[0-9]{1,18}$",
            description="`next` of the previous page; 0: the first page. Without it: the newest sessions, one page",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> SessionList:
    """List the sessions that the token is for, oldest first; a page may have fewer than `limit`."""
    receiver = receiver_of(request)
    own = true() if token.session is None else sessions.c.name == token.session
    wanted = select(sessions.c.id).where(own, sessions.c.id > int(after or 0)).limit(limit + 1)
    wanted = wanted.order_by(sessions.c.id.desc() if after is None else sessions.c.id)
    with receiver.database.read() as connection:
        ids = connection.scalars(wanted).all()
        found = _sessions(connection, sessions.c.id.in_(ids[:limit]), receiver)
    page = _first_of(found)
    has_more = after is not None and len(page) < len(ids)
    return SessionList(sessions=page, next=str(sorted(ids)[len(page) - 1]) if has_more else None)


def _first_of(found: list[Session]) -> tuple[Session, ...]:
    """Return the sessions that fit on a page: the first at least."""
    size_bytes = 0
    for count, session in enumerate(found):
        size_bytes += SESSION_BYTES + sum(map(len, session.projects.values()))
        size_bytes += sum(len(one.reason) for one in session.waiting or ())
        if count and size_bytes > PAGE_BYTES:
            return tuple(found[:count])
    return tuple(found)


@router.get(
    protocol.SESSION, dependencies=[permits(Permission.READ)], responses=problems(ScopeRejected, NotFound, BadName)
)
def get_session(session: SessionName, request: Request) -> Session:
    """Show a session."""
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        session_id_of(connection, session)
        return _session(connection, session, receiver)


@router.post(
    protocol.SESSION_END, dependencies=[permits(Permission.WRITE)], responses=problems(ScopeRejected, NotFound, BadName)
)
def end_session(session: SessionName, request: Request) -> Session:
    """End a session: no more exposures are expected. Late exposures are accepted all the same."""
    return _change(request, session, SessionState.ENDED, "session-ended")


@router.post(
    protocol.SESSION_REOPEN,
    dependencies=[permits(Permission.WRITE)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def reopen_session(session: SessionName, request: Request) -> Session:
    """Open an ended session again."""
    return _change(request, session, SessionState.OPEN, "session-reopened")
