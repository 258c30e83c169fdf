"""Published exposures: a record is checked against the committed files, kept, and put into the registrars' outbox."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import add_event, exposure_records, exposures, files, now, registrations
from api.http.control_bodies import MAX_BYTES
from api.http.openapi import problems
from api.receiver import Receiver, receiver_of
from api.routes.sessions import SessionName, open_projects, session_id_of
from transfer.wire import protocol, version_1
from transfer.wire.errors import (
    BadName,
    BadRequest,
    ExposureConflict,
    FilesMissing,
    NotFound,
    ReceiverBusy,
    ScopeRejected,
    TooLarge,
)
from transfer.wire.exposure_record import MAX_RECORD_BYTES, ExposureRecord
from transfer.wire.names import check_path
from transfer.wire.protocol import Exposure, ExposureList, Registration, RegistrationState
from transfer.wire.versions import NEWEST_PROTOCOL

router = APIRouter(tags=["exposures"], route_class=GuardedRoute)

PAGE = 500
_UNSAFE_IN_A_NAME = re.compile(r"[^\w.+=@#,()-]|^[.-]")


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
        **problems(ScopeRejected, NotFound, BadName, ExposureConflict, FilesMissing, TooLarge),
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
            is_new = _publish(connection, receiver, session_id, record)
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


def _publish(connection: Connection, receiver: Receiver, session_id: int, record: ExposureRecord) -> bool:
    row = connection.execute(
        select(exposures.c.id, exposures.c.revision).where(
            exposures.c.session_id == session_id, exposures.c.exposure_id == record.exposure_id
        )
    ).one_or_none()
    newest = row.revision if row else 0
    if row and record.revision <= newest and _is_same(_kept(connection, row.id, record.revision), record):
        return False
    if record.revision != newest + 1:
        raise ExposureConflict(
            f"exposure {record.exposure_id} has revision {newest} already; a different record must have revision "
            f"{newest + 1}, not {record.revision}"
            if row
            else f"the first record of an exposure must have revision 1, not {record.revision}"
        )
    _require_files(connection, session_id, record)
    exposure = row.id if row else _insert(connection, session_id, record)
    connection.execute(update(exposures).where(exposures.c.id == exposure).values(revision=record.revision))
    connection.execute(
        insert(exposure_records).values(
            exposure=exposure, revision=record.revision, record=record.model_dump_json(), published_at=now()
        )
    )
    for registrar in receiver.registrar_names:
        connection.execute(
            insert(registrations).values(
                exposure=exposure,
                revision=record.revision,
                registrar=registrar,
                state=RegistrationState.PENDING.value,
            )
        )
    open_projects(connection, session_id)
    add_event(connection, session_id, "exposure-published", str(record.exposure_id), f"revision {record.revision}")
    return True


def _kept(connection: Connection, exposure: int, revision: int) -> str:
    kept: str = connection.execute(
        select(exposure_records.c.record).where(
            exposure_records.c.exposure == exposure, exposure_records.c.revision == revision
        )
    ).scalar_one()
    return kept


def _is_same(kept: str, record: ExposureRecord) -> bool:
    """Return whether a kept record describes the same result; its times do not count, a retry is sent later."""
    values = json.loads(kept)
    old = ExposureRecord.model_validate(values).model_dump(mode="json", exclude={"times"})
    new = record.model_dump(mode="json", exclude={"times"})
    if version_1.is_version_1(values):  # kept by an older receiver, which knew less of it
        return version_1.downgraded(old) == version_1.downgraded(new)
    return old == new


def _require_files(connection: Connection, session_id: int, record: ExposureRecord) -> None:
    """Raise FilesMissing if the record names a file that is not committed with that revision, size and digest."""
    for file in record.files:
        check_path(file.path)
    wanted = {(file.path, file.revision): (file.size_bytes, file.digest) for file in record.files}
    rows = connection.execute(
        select(files.c.path, files.c.revision, files.c.size_bytes, files.c.digest).where(
            files.c.session_id == session_id, tuple_(files.c.path, files.c.revision).in_(list(wanted))
        )
    )
    committed = {(path, revision): (size, digest) for path, revision, size, digest in rows}
    missing = [
        {"path": path, "revision": revision}
        for (path, revision), identity in wanted.items()
        if committed.get((path, revision)) != identity
    ]
    if missing:
        raise FilesMissing(
            f"{len(missing)} of the record's {len(wanted)} files are not committed with that size and digest",
            files=missing,
        )


def _insert(connection: Connection, session_id: int, record: ExposureRecord) -> int:
    label = _UNSAFE_IN_A_NAME.sub("_", record.label)[:200] or "micrograph"
    hexadecimal = record.exposure_id.hex
    for name in (f"{label}.mrc", f"{label}_{hexadecimal[:8]}.mrc", f"{label}_{hexadecimal}.mrc"):
        taken = connection.scalar(
            select(exposures.c.id).where(exposures.c.session_id == session_id, exposures.c.micrograph_name == name)
        )
        if taken is None:
            break
    made: int = connection.execute(
        insert(exposures)
        .values(
            session_id=session_id,
            exposure_id=record.exposure_id,
            revision=record.revision,
            micrograph_name=name,
        )
        .returning(exposures.c.id)
    ).scalar_one()
    return made


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
