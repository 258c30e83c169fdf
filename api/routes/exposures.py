"""Exposures: publish a record, show one exposure, list those of a session."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import exposure_records, exposures, registrations
from api.http.control_bodies import MAX_BYTES
from api.http.openapi import problems
from api.receiver import receiver_of
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
from transfer.wire.protocol import Exposure, ExposureList, Registration, RegistrationState
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
            condition = exposures.c.session_id == session_id, exposures.c.exposure_id == exposure_id
            ((_, exposure),) = _exposures(connection, *condition)
    except IntegrityError as error:  # another request published it or took its name at the same time
        raise ReceiverBusy("the same exposure or name is being published by another request") from error
    return JSONResponse(_answer(exposure, version), status_code=201 if is_new else 200)


def _version_to_read(request: Request) -> int:
    """Return the protocol's version that a reader names; the newest if it names none."""
    return int(request.headers.get(protocol.H_PROTOCOL, NEWEST_PROTOCOL))


def _answer(exposure: Exposure, version: int) -> dict[str, Any]:
    """Return an exposure's JSON values in a version of the protocol."""
    answer = exposure.model_dump(mode="json")
    if version == 1:
        answer["record"] = version_1.downgraded(answer["record"])
    return answer


def _exposures(connection: Connection, *conditions: object, limit: int | None = None) -> list[tuple[int, Exposure]]:
    """Return (key, exposure) in the order of publication."""
    rows = connection.execute(
        select(exposures.c.id, exposures.c.revision, exposures.c.micrograph_name, exposure_records.c.record)
        .join(
            exposure_records,
            (exposure_records.c.exposure == exposures.c.id) & (exposure_records.c.revision == exposures.c.revision),
        )
        .where(*conditions)  # type: ignore[arg-type]
        .order_by(exposures.c.id)
        .limit(limit)
    ).all()
    words: dict[int, list[Registration]] = {}
    for row in connection.execute(
        select(registrations)
        .join(exposures, exposures.c.id == registrations.c.exposure)
        .where(registrations.c.exposure.in_([row.id for row in rows]), registrations.c.revision == exposures.c.revision)
        .order_by(registrations.c.id)
    ):
        word = Registration(registrar=row.registrar, state=RegistrationState(row.state), detail=row.detail)
        words.setdefault(row.exposure, []).append(word)
    return [
        (
            row.id,
            Exposure(
                record=ExposureRecord.model_validate_json(row.record),
                micrograph_name=row.micrograph_name,
                registrations=tuple(words.get(row.id, ())),
            ),
        )
        for row in rows
    ]


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
        found = _exposures(connection, exposures.c.session_id == session_id, exposures.c.exposure_id == exposure_id)
    if not found:
        raise NotFound(
            f"there is no exposure {exposure_id} in session {session!r}",
            hint="Check the id; list the session's exposures.",
        )
    return JSONResponse(_answer(found[0][1], version))


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
    """List the published exposures in the order of their publication."""
    with receiver_of(request).database.read() as connection:
        found = _exposures(
            connection,
            exposures.c.session_id == session_id_of(connection, session),
            exposures.c.id > int(after),
            limit=limit + 1,
        )
    page = found[:limit]
    return JSONResponse(
        {
            "exposures": [_answer(exposure, version) for _, exposure in page],
            "next": str(page[-1][0]) if len(found) > limit else None,
        }
    )
