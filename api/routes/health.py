"""What the receiver is, whether it runs, and whether it can do its work."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.access.guard import BearerIfAny, GuardedRoute, front_of, permits
from api.access.permissions import Permission
from api.checking.background import last_result
from api.checking.committed_rows import count_noted_lost, sessions_with_files
from api.http.openapi import problems
from api.receiver import Receiver, receiver_of
from api.store.promises import promised_in_all
from transfer.platform import open_files_count, open_files_limit
from transfer.wire import protocol
from transfer.wire.protocol import Health, InUse, LimitsInUse, ReceiverReadiness, Service

router = APIRouter(tags=["service"], route_class=GuardedRoute)

log = logging.getLogger(__name__)

OK = "ok"
CHECKING = "checking"
"""The committed files have not been looked at since the receiver started."""
ADVICE = "run `cryoferry receiver check`"


@router.get(protocol.SERVICE, dependencies=[permits(Permission.TOKEN)], responses=problems())
def get_service(request: Request) -> Service:
    """Return the version and the limits of the receiver."""
    receiver = receiver_of(request)
    return Service(
        version=receiver.spoken.software,
        protocol=receiver.spoken.newest,
        oldest_protocol=receiver.spoken.oldest,
        max_file_bytes=receiver.settings.max_file_bytes,
        free_bytes=receiver.storage.free_bytes(),
        registrars=receiver.registrar_names,
    )


@router.get(protocol.DESCRIPTION, include_in_schema=False, dependencies=[permits(Permission.PUBLIC)])
async def get_description(request: Request) -> JSONResponse:
    """Return the OpenAPI description of all routes."""
    return JSONResponse(request.app.openapi())


@router.get(protocol.HEALTH, dependencies=[permits(Permission.PUBLIC)])
async def get_health() -> Health:
    """Answer that the process runs."""
    return Health(ok=True, checks={})


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": ReceiverReadiness, "description": "A part does not work."}
}


@router.get(
    protocol.READY,
    dependencies=[permits(Permission.PUBLIC)],
    response_model_exclude_none=True,
    responses={**problems(public=True), **_NOT_READY},
)
async def get_readiness(request: Request, response: Response, token: BearerIfAny) -> ReceiverReadiness:
    """Return which parts of the receiver work; to a token for all sessions, also its limits and the reasons."""
    checks = await run_in_threadpool(_checks, request)
    ready = all(check in (OK, CHECKING) for name, check in checks.items() if not name.startswith(_SHOWN))
    response.status_code = 200 if ready else 503
    if token is None or token.session is not None:
        return ReceiverReadiness(ok=ready, checks=checks)
    connections = front_of(request).connections
    of_all = InUse(count=connections.count, limit=connections.limits.most)
    without = InUse(count=connections.count_without_token, limit=connections.limits.most_without_token)
    limits = await run_in_threadpool(_limits, request, of_all, without)
    troubles = await run_in_threadpool(receiver_of(request).registrars.troubles)
    return ReceiverReadiness(
        ok=ready,
        checks=checks,
        limits=limits,
        registrars_in_trouble=tuple(troubles),
        exposures_in_doubt=receiver_of(request).alarms.by_session(),
    )


_REGISTRAR, _EXPOSURES = "registrar ", "exposures"
_SHOWN = (_REGISTRAR, _EXPOSURES)
"""What is shown and keeps nobody from sending: the receiver is ready all the same."""


def _checks(request: Request) -> dict[str, str]:
    """Return how each part is: without names, paths and numbers, for anybody may read it."""
    receiver = receiver_of(request)
    checks = {
        "database": _database(request),
        "disk": _disk(receiver),
        "space": OK if receiver.storage.free_bytes() > 0 else "no space left for uploads",
        "files": _files(receiver),
        "registrars": OK
        if receiver.registrars.alive or not receiver.registrar_names
        else "a thread of a registrar has stopped; restart the receiver",
        _EXPOSURES: _exposures(receiver),
    }
    waits = "it waits; the reason is in the receiver's log, and here for a token for all sessions"
    return checks | {
        f"{_REGISTRAR}{name}": OK if trouble == OK else waits for name, trouble in receiver.registrars.health().items()
    }


def _limits(request: Request, connections: InUse, without_token: InUse) -> LimitsInUse | None:
    receiver = receiver_of(request)
    try:
        with receiver.database.read() as connection:
            open_uploads, promised_bytes = promised_in_all(connection)
    except DBAPIError:
        return None
    return LimitsInUse(
        connections=connections,
        connections_without_token=without_token,
        open_files=InUse(count=open_files_count(), limit=open_files_limit()),
        open_uploads=open_uploads,
        promised_bytes=promised_bytes,
        free_bytes=receiver.storage.free_bytes(),
        refused_in_last_minute=front_of(request).refusals.in_last_minute(),
    )


def _database(request: Request) -> str:
    try:
        with receiver_of(request).database.read() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        lines = front_of(request).lines  # the answer must not name hosts and users
        lines.log(log, logging.WARNING, "database", "cannot use the database: %s", error.orig)
        return "it cannot be used; the reason is in the receiver's log"
    return OK


def _disk(receiver: Receiver) -> str:
    try:
        receiver.storage.check_writable()
    except OSError as error:
        return str(error.strerror)
    return OK


def _exposures(receiver: Receiver) -> str:
    """Return whether the exposures add up, in the sessions that this process was asked about."""
    doubtful = len(receiver.alarms.by_session())
    return (
        f"those of {_counted(doubtful, 'session')} do not add up; ask with a token for all sessions" if doubtful else OK
    )


def _files(receiver: Receiver) -> str:
    """Return how the committed files are. Nothing of their names: anybody may read it."""
    try:
        lost = count_noted_lost(receiver.database)
        names = sessions_with_files(receiver.database)
        result = last_result(receiver.database)
    except DBAPIError:
        return "not known, because the database cannot be used"
    gone = sum(not receiver.storage.has_session(name) for name in names)
    if gone:
        return f"the files of {_counted(gone, 'session')} are gone; {ADVICE}"
    if lost:
        return f"{_counted(lost, 'committed file')} missing or changed; {ADVICE}"
    if result is None or result.run_id != receiver.settings.run_id:
        return CHECKING
    return f"{_counted(result.unreadable, 'committed file')} unreadable; {ADVICE}" if result.unreadable else OK


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
