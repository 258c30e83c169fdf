"""Exposures: publish a record, show one exposure, list those of a session."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import ColumnElement
from sqlalchemy.exc import IntegrityError

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import exposures
from api.http.control_bodies import MAX_BYTES
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.exposure_answers import exposure_text, page_text
from api.routes.sessions import SessionName, session_id_of
from api.store.publication import publish
from transfer.wire import protocol, version_1
from transfer.wire.errors import (
    BadName,
    BadRequest,
    Deleted,
    ExposureConflict,
    FilesMissing,
    NotFound,
    ReceiverBusy,
    ScopeRejected,
    TooLarge,
)
from transfer.wire.exposure_record import MAX_RECORD_BYTES, ExposureRecord
from transfer.wire.protocol import Exposure, ExposureList
from transfer.wire.versions import NEWEST_PROTOCOL

router = APIRouter(tags=["exposures"], route_class=GuardedRoute)

PAGE = 500


async def _version_of_record(request: Request) -> int:
    """Return the protocol's version that the record in the body is of; a client expects its answer in the same one.

    Raises
    ------
    TooLarge
        The record is larger than records may be.
    """
    body = await request.body()
    if len(body) > MAX_RECORD_BYTES:
        raise TooLarge(
            f"the record has {len(body):,} bytes, a record has at most {MAX_RECORD_BYTES:,}",
            hint="Align fewer frames, or group them (--group); then publish the exposure's next revision.",
        )
    if named := request.headers.get(protocol.H_PROTOCOL):
        return int(named)
    try:
        return 1 if version_1.is_version_1(json.loads(body)) else NEWEST_PROTOCOL
    except ValueError:
        return NEWEST_PROTOCOL


@router.put(
    protocol.EXPOSURE,
    dependencies=[permits(Permission.WRITE, max_body_bytes=MAX_BYTES)],
    status_code=201,
    response_model=Exposure,
    responses={
        200: {"model": Exposure, "description": "The same record was published before."},
        **problems(ScopeRejected, NotFound, BadName, Deleted, ExposureConflict, FilesMissing, TooLarge),
    },
)
def publish_exposure(
    session: SessionName,
    exposure_id: UUID,
    record: ExposureRecord,
    request: Request,
    version: Annotated[int, Depends(_version_of_record)],
) -> Response:
    """Publish an exposure, or a new revision of it. All its files must be committed."""
    if record.exposure_id != exposure_id:
        raise BadRequest(
            f"the record is of exposure {record.exposure_id}, but the URL names {exposure_id}; nothing was published"
        )
    receiver = receiver_of(request)
    try:
        with receiver.database.write() as connection:
            session_id = session_id_of(connection, session)
            is_new = publish(connection, receiver.registrar_names, session_id, record)
            answer = exposure_text(connection, version, *_is(session_id, exposure_id))
    except IntegrityError as error:  # another request published it or took its name at the same time
        raise ReceiverBusy("the same exposure or name is being published by another request") from error
    return Response(answer, 201 if is_new else 200, media_type="application/json")


def _version_to_read(request: Request) -> int:
    """Return the protocol's version that a reader names; the newest if it names none."""
    return int(request.headers.get(protocol.H_PROTOCOL, NEWEST_PROTOCOL))


def _is(session_id: int, exposure_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return exposures.c.session_id == session_id, exposures.c.exposure_id == exposure_id


@router.get(
    protocol.EXPOSURE,
    dependencies=[permits(Permission.READ)],
    response_model=Exposure,
    responses=problems(ScopeRejected, NotFound, BadName),
)
def get_exposure(
    session: SessionName,
    exposure_id: UUID,
    request: Request,
    version: Annotated[int, Depends(_version_to_read)],
) -> Response:
    """Return the newest revision of an exposure, and its state with each registrar."""
    with receiver_of(request).database.read() as connection:
        session_id = session_id_of(connection, session)
        answer = exposure_text(connection, version, *_is(session_id, exposure_id))
    if answer is None:
        raise NotFound(
            f"there is no exposure {exposure_id} in session {session!r}",
            hint="Check the id; list the session's exposures.",
        )
    return Response(answer, media_type="application/json")


@router.get(
    protocol.EXPOSURES,
    dependencies=[permits(Permission.READ)],
    response_model=ExposureList,
    responses=problems(ScopeRejected, NotFound, BadName),
)
def list_exposures(
    session: SessionName,
    request: Request,
    version: Annotated[int, Depends(_version_to_read)],
    after: Annotated[str, Query(pattern="^[0-9]{1,18}$", description="`next` of the previous page")] = "0",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Response:
    """List the published exposures in the order of their publication; a page may have fewer than `limit`."""
    with receiver_of(request).database.read() as connection:
        session_id = session_id_of(connection, session)
        answer = page_text(connection, version, session_id, int(after), limit)
    return Response(answer, media_type="application/json")
