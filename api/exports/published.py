"""Reads the published exposures of a session, each in its newest revision, with its present verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import and_, select

from api.database.engine import Database
from api.database.tables import exposure_records, exposures, sessions, verdicts
from api.registrars import PublishedExposure, SessionPlace
from api.registrars.outbox import located_files
from api.registrars.verdict_outbox import VERDICT_COLUMNS, present_verdict
from transfer.wire.exposure_record import ExposureRecord, FileRole

PAGE = 200
"""Exposures that are read at once; others may use the database in between."""


class PublishedSession:
    """One session in the receiver's database.

    Parameters
    ----------
    database
        The receiver's.
    data
        The receiver's data folder.
    name
        Of the session.
    """

    def __init__(self, database: Database, data: Path, name: str) -> None:
        self._database = database
        self._data = data.absolute()
        self.place = SessionPlace(name, self._data / "sessions" / name)
        with database.read() as connection:
            query = select(sessions.c.id, sessions.c.created_at).where(sessions.c.name == name)
            row = connection.execute(query).one()
        self._id: int = row.id
        self.began_at: datetime = row.created_at

    def exposures(self) -> Iterator[PublishedExposure]:
        """Yield the exposures in the order of their publication, without the places of their files."""
        after = 0
        while page := self._page(after):
            after = page[-1].number
            yield from page

    def files(self, exposure: PublishedExposure) -> Mapping[FileRole, Path]:
        """Return the absolute paths of an exposure's committed files."""
        with self._database.read() as connection:
            return located_files(connection, self._data, self._id, exposure.record)

    def _page(self, after: int) -> list[PublishedExposure]:
        query = (
            select(exposures.c.id, exposures.c.micrograph_name, exposure_records.c.record, *VERDICT_COLUMNS)
            .join_from(
                exposures,
                exposure_records,
                and_(
                    exposure_records.c.exposure == exposures.c.id,
                    exposure_records.c.revision == exposures.c.revision,
                ),
            )
            .join(verdicts, verdicts.c.exposure == exposures.c.id, isouter=True)
            .where(exposures.c.session_id == self._id, exposures.c.id > after)
            .order_by(exposures.c.id)
            .limit(PAGE)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            PublishedExposure(
                number=row.id,
                micrograph_name=row.micrograph_name,
                record=ExposureRecord.model_validate_json(row.record),
                files={},
                verdict=present_verdict(row),
            )
            for row in rows
        ]
