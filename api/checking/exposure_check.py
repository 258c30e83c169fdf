"""Compares a receiver's exposures with everything that names them: rows with rows, rows with the registrars' files.

Each finding names the exposures, so that somebody can look at them. What only the registrars lack can be repaired: the
exposures are put into the outbox again, and a running receiver registers them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, and_, exists, func, insert, select, update

from api.checking.folder_check import LOOK_BYTES, Take
from api.database.engine import Database
from api.database.registrations import counted_registrations, open_projects
from api.database.tables import (
    claimed_exposures,
    exposure_records,
    exposures,
    files,
    registration_counts,
    registrations,
    sessions,
    verdicts,
)
from api.registrars.listed import listed_names
from api.registrars.reader_names import reader_name
from api.registrars.scipion import A_TILT
from api.store.account_facts import facts_of
from api.store.session_account import account_of, differences_of
from transfer.wire.accounting import SessionAccount
from transfer.wire.protocol import RegistrationState

AT_ONCE = 200
MOST_NAMED = 10
_REGISTERED, _PENDING = RegistrationState.REGISTERED.value, RegistrationState.PENDING.value


@dataclass(frozen=True, slots=True)
class ExposureFinding:
    """Exposures of one session that are not where they should be.

    Attributes
    ----------
    names
        Of their micrographs; empty where only a number is known.
    registrar
        Which can be told to register them, by `keys` (`exposures.id`); empty: that repairs nothing.
    """

    session: str
    detail: str
    advice: str
    names: tuple[str, ...] = ()
    registrar: str = ""
    keys: tuple[int, ...] = ()

    def line(self) -> str:
        """Return what is wrong with which exposures, and what to do."""
        named = ", ".join(self.names[:MOST_NAMED]) + (", …" if len(self.names) > MOST_NAMED else "")
        return f"session {self.session}: {self.detail}{f': {named}' if named else ''}; {self.advice}"


@dataclass(frozen=True, slots=True)
class CheckedSession:
    """A session, where its exposures are, and what is wrong."""

    name: str
    account: SessionAccount
    findings: tuple[ExposureFinding, ...]


@dataclass(frozen=True, slots=True)
class _Published:
    key: int
    name: str
    revision: int


_RESTORE = "the database lost rows: restore it from its backup, and the agents compare what they have sent"
_AGAIN = "with --repair they are put into its outbox again"


def check_sessions(database: Database, data: Path, take: Take, moment: datetime) -> Iterator[CheckedSession]:
    """Check the exposures of all sessions, one after the other.

    Parameters
    ----------
    take
        Waits until so many bytes may be read.
    """
    with database.read() as connection:
        found = connection.execute(select(sessions.c.id, sessions.c.name).order_by(sessions.c.id)).all()
    for session_id, name in found:
        take(LOOK_BYTES)
        with database.read() as connection:
            named = connection.scalars(
                select(registration_counts.c.registrar).where(registration_counts.c.session_id == session_id)
            ).all()
            facts = facts_of(connection, [session_id], named)[session_id]
            published = _published(connection, session_id)
            of_rows = list(_of_rows(connection, session_id, name, published))
            listed = {registrar: _registered(connection, session_id, registrar) for registrar in named}
        account = account_of(facts, moment)
        differences = [_difference(name, text) for text in differences_of(facts, account)]
        outbox = list(_not_in_outbox(database, session_id, name, named))
        of_files = [
            finding
            for registrar, keys in sorted(listed.items())
            for finding in _not_listed(name, registrar, data / "sessions" / name, keys, published)
        ]
        of_records = list(_without_files(database, session_id, name, take))
        yield CheckedSession(name, account, (*differences, *of_rows, *outbox, *of_files, *of_records))


def _difference(session: str, text: str) -> ExposureFinding:
    detail, _, _ = text.partition(": run `cryoferry receiver check")
    return ExposureFinding(session, detail, "other findings name the exposures, where the rows tell which they are")


def repair(database: Database, finding: ExposureFinding) -> bool:
    """Put the exposures of a finding into the outbox of its registrar again; return whether there was one to put."""
    if not finding.registrar:
        return False
    with database.write() as connection:
        rows = connection.execute(
            select(exposures.c.id, exposures.c.revision, exposures.c.session_id).where(exposures.c.id.in_(finding.keys))
        ).all()
        for row in rows:
            with counted_registrations(connection, row.session_id, [row.id]):
                _put(connection, row.id, row.revision, finding.registrar)
        for session_id in {row.session_id for row in rows}:
            open_projects(connection, session_id)
    return bool(rows)


def _put(connection: Connection, exposure: int, revision: int, registrar: str) -> None:
    own = registrations.c
    changed = connection.execute(
        update(registrations)
        .where(own.exposure == exposure, own.revision == revision, own.registrar == registrar)
        .values(state=_PENDING, detail="put into the outbox again by `receiver check --repair`")
    )
    if changed.rowcount == 0:
        connection.execute(
            insert(registrations).values(exposure=exposure, revision=revision, registrar=registrar, state=_PENDING)
        )


# ---- rows with rows


def _published(connection: Connection, session_id: int) -> dict[int, _Published]:
    own = exposures.c
    rows = connection.execute(select(own.id, own.micrograph_name, own.revision).where(own.session_id == session_id))
    return {row.id: _Published(row.id, row.micrograph_name, row.revision) for row in rows}


def _of_rows(
    connection: Connection, session_id: int, session: str, published: dict[int, _Published]
) -> Iterator[ExposureFinding]:
    """Yield exposures that were published and that no claim knows, and rejected ones that are counted wrongly."""
    claimed = exists().where(
        claimed_exposures.c.session_id == exposures.c.session_id,
        claimed_exposures.c.exposure_id == exposures.c.exposure_id,
    )
    unclaimed = connection.scalars(select(exposures.c.id).where(exposures.c.session_id == session_id, ~claimed)).all()
    if unclaimed:
        names = tuple(published[key].name for key in unclaimed)
        yield ExposureFinding(
            session, f"{_counted(names)} published, and the rows of their claims are lost", _RESTORE, names
        )
    rejected = connection.scalar(
        select(func.count())
        .select_from(verdicts)
        .join(exposures, exposures.c.id == verdicts.c.exposure)
        .where(exposures.c.session_id == session_id, ~verdicts.c.is_accepted)
    )
    counted = connection.scalar(select(sessions.c.rejected_count).where(sessions.c.id == session_id))
    if rejected != counted:
        yield ExposureFinding(session, f"{rejected} exposures are rejected, and {counted} are counted", _RESTORE)


def _not_in_outbox(
    database: Database, session_id: int, session: str, registrars: Collection[str]
) -> Iterator[ExposureFinding]:
    for registrar in sorted(registrars):
        own = registrations.c
        has_row = exists().where(
            own.exposure == exposures.c.id, own.revision == exposures.c.revision, own.registrar == registrar
        )
        wanted = select(exposures.c.id, exposures.c.micrograph_name).order_by(exposures.c.id)
        with database.read() as connection:
            rows = connection.execute(wanted.where(exposures.c.session_id == session_id, ~has_row)).all()
        if rows:
            names = tuple(row.micrograph_name for row in rows)
            detail = f"{_counted(names)} not in the outbox of registrar {registrar}"
            yield ExposureFinding(session, detail, _AGAIN, names, registrar, tuple(row.id for row in rows))


# ---- rows with the registrars' files


def _registered(connection: Connection, session_id: int, registrar: str) -> list[int]:
    """Return the exposures whose newest revision a registrar has registered."""
    own = registrations.c
    rows = connection.scalars(
        select(own.exposure)
        .join_from(registrations, exposures, own.exposure == exposures.c.id)
        .where(exposures.c.session_id == session_id, own.revision == exposures.c.revision)
        .where(own.registrar == registrar, own.state == _REGISTERED, ~own.detail.startswith(A_TILT))
    )
    return list(rows)


def _not_listed(
    session: str, registrar: str, folder: Path, keys: list[int], published: dict[int, _Published]
) -> Iterator[ExposureFinding]:
    try:
        listed = listed_names(registrar, folder)
    except (OSError, ValueError, LookupError) as error:
        why = f"the files of registrar {registrar} cannot be read: {error}"
        yield ExposureFinding(session, why, "see to the disk and its permissions, then check again")
        return
    if listed is None:
        return
    missing = [key for key in keys if key in published and reader_name(published[key].name) not in listed]
    if missing:
        names = tuple(published[key].name for key in missing)
        detail = f"{_counted(names)} registered by {registrar}, and its files do not list them"
        yield ExposureFinding(session, detail, _AGAIN, names, registrar, tuple(missing))


# ---- records with the rows of files


def _without_files(database: Database, session_id: int, session: str, take: Take) -> Iterator[ExposureFinding]:
    """Yield exposures whose newest record names files of which no row is there."""
    names: list[str] = []
    after = 0
    while batch := _records(database, session_id, after):
        take(sum(len(text) for _, _, text in batch))
        after = batch[-1][0]
        wanted = {
            key: {(file["path"], file["revision"]) for file in json.loads(text)["files"]} for key, _, text in batch
        }
        there = _committed(database, session_id, {path for pairs in wanted.values() for path, _ in pairs})
        names += [name for key, name, _ in batch if not wanted[key] <= there]
    if names:
        detail = f"{_counted(names)} published, and the rows of their files are lost"
        yield ExposureFinding(session, detail, _RESTORE, tuple(names))


def _records(database: Database, session_id: int, after: int) -> list[tuple[int, str, str]]:
    newest = and_(exposure_records.c.exposure == exposures.c.id, exposure_records.c.revision == exposures.c.revision)
    with database.read() as connection:
        rows = connection.execute(
            select(exposures.c.id, exposures.c.micrograph_name, exposure_records.c.record)
            .join_from(exposures, exposure_records, newest)
            .where(exposures.c.session_id == session_id, exposures.c.id > after)
            .order_by(exposures.c.id)
            .limit(AT_ONCE)
        ).all()
    return [(row.id, row.micrograph_name, row.record) for row in rows]


def _committed(database: Database, session_id: int, paths: set[str]) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    names = sorted(paths)
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        with database.read() as connection:
            rows = connection.execute(
                select(files.c.path, files.c.revision).where(files.c.session_id == session_id, files.c.path.in_(some))
            ).all()
        found |= {(path, revision) for path, revision in rows}
    return found


def _counted(names: Collection[str]) -> str:
    return f"{len(names):,} exposure{' is' if len(names) == 1 else 's are'}"
