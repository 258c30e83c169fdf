"""What the receiver is, whether it runs, and whether it can do its work."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.checking.background import last_result
from api.checking.committed_rows import count_noted_lost, sessions_with_files
from api.http.openapi import problems
from api.receiver import Receiver, receiver_of
from transfer.wire import protocol
from transfer.wire.protocol import Health, Service

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


_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "A part does not work."}}


@router.get(
    protocol.READY, dependencies=[permits(Permission.PUBLIC)], responses={**problems(public=True), **_NOT_READY}
)
def get_readiness(request: Request, response: Response) -> Health:
    """Return which parts of the receiver work."""
    receiver = receiver_of(request)
    checks = {
        "database": _database(receiver),
        "disk": _disk(receiver),
        "space": OK if receiver.storage.free_bytes() > 0 else "no space left for uploads",
        "files": _files(receiver),
        "registrars": OK
        if receiver.registrars.alive or not receiver.registrar_names
        else "a thread of a registrar has stopped; restart the receiver",
    }
    ready = all(check in (OK, CHECKING) for check in checks.values())
    # A registrar that waits is shown, but the receiver is ready all the same. The reason has paths in it, and anybody
    # may read this answer: the reason is in the log and in the registrations of the exposures.
    registrars = {
        f"registrar {name}": OK if trouble == OK else "it waits; the reason is in the receiver's log"
        for name, trouble in receiver.registrars.health().items()
    }
    health = Health(ok=ready, checks=checks | registrars)
    response.status_code = 200 if health.ok else 503
    return health


def _database(receiver: Receiver) -> str:
    try:
        with receiver.database.read() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        log.warning("cannot use the database: %s", error.orig)  # the answer must not name hosts and users
        return "it cannot be used; the reason is in the receiver's log"
    return OK


def _disk(receiver: Receiver) -> str:
    try:
        receiver.storage.check_writable()
    except OSError as error:
        return str(error.strerror)
    return OK


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
