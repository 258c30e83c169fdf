"""Brings a database's tables to the form that this version uses."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.exc import OperationalError

from api.database.engine import Database
from api.errors import DatabaseUnavailable
from transfer.disk.locks import file_lock


def upgrade(database: Database, data: Path) -> None:
    """Bring the schema to this version, one process at a time.

    Raises
    ------
    DatabaseUnavailable
    """
    from alembic import command  # noqa: PLC0415 - half a second that only a start needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    try:
        with file_lock(data / "migration.lock", wait=True), database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise DatabaseUnavailable(f"the receiver's database cannot be used: {error.orig}") from error
