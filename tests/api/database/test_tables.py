from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from api.database.tables import metadata, sessions


def test_postgresql_understands_every_table() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_moments_are_aware(database) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
    with database.write() as connection:
        connection.execute(insert(sessions).values(name="s1", state="open", created_at=moment))
    with database.read() as connection:
        assert connection.scalar(select(sessions.c.created_at)) == moment
