"""Publishes exposures: a record is checked against the committed files, kept, and put into the registrars' outbox."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from sqlalchemy import Connection, insert, select, update

from api.database.registrations import (
    add_registrations,
    change_exposure_count,
    counted_registrations,
    open_projects,
)
from api.database.tables import add_event, exposure_records, exposures, files, now
from api.store.figures import replace_figures
from api.store.judging import judge
from api.store.kept_records import kept_text, present_form
from api.store.published_movies import note_published, require_not_deleted, require_one_exposure
from transfer.wire import version_1
from transfer.wire.errors import ExposureConflict, FilesMissing
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.names import check_committed_path

_UNSAFE_IN_A_NAME = re.compile(r"[^\w.+=@#,()-]|^[.-]")


def publish(connection: Connection, registrars: Collection[str], session_id: int, record: ExposureRecord) -> bool:
    """Publish an exposure's record; return whether it is new, not a repetition.

    Parameters
    ----------
    registrars
        The registrars that are to register it.

    Raises
    ------
    Deleted
        The exposure was deleted on purpose.
    ExposureConflict
        It is neither the next revision nor the same as a published one, or its movie is published as another exposure.
    FilesMissing
        A file that it names is not committed.
    """
    require_not_deleted(connection, session_id, record)
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
    require_one_exposure(connection, session_id, record)
    _require_files(connection, session_id, record)
    exposure = row.id if row else _insert(connection, session_id, record)
    connection.execute(
        insert(exposure_records).values(
            exposure=exposure,
            revision=record.revision,
            record=kept_text(record),
            form=present_form(),
            published_at=now(),
        )
    )
    with counted_registrations(connection, session_id, [exposure]):
        connection.execute(update(exposures).where(exposures.c.id == exposure).values(revision=record.revision))
        add_registrations(connection, exposure, record.revision, registrars)
    replace_figures(connection, session_id, exposure, record.figures)
    note_published(connection, session_id, record)
    open_projects(connection, session_id)
    add_event(connection, session_id, "exposure-published", str(record.exposure_id), f"revision {record.revision}")
    judge(connection, session_id, range(exposure, exposure + 1))
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
        check_committed_path(file.path)
    wanted = {(file.path, file.revision): (file.size_bytes, file.digest) for file in record.files}
    rows = connection.execute(
        select(files.c.path, files.c.revision, files.c.size_bytes, files.c.digest).where(
            files.c.session_id == session_id,
            # SQLite would look for pairs of path and revision among all files of the session
            files.c.path.in_(sorted({path for path, _ in wanted})),
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
    change_exposure_count(connection, session_id, +1)
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
