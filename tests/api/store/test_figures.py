from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from api.database.engine import Database
from api.database.tables import exposure_figures
from api.store.publication import publish
from tests.published import database_with_sessions, record_of
from transfer.wire.exposure_record import ExposureRecord


def kept(database: Database) -> dict[tuple[int, int], dict[str, float]]:
    found: dict[tuple[int, int], dict[str, float]] = {}
    with database.read() as connection:
        for row in connection.execute(select(exposure_figures)):
            found.setdefault((row.session_id, row.exposure), {})[row.name] = row.value
    return found


def test_a_new_revision_replaces_the_figures_of_the_one_before(tmp_path: Path) -> None:
    database = database_with_sessions(f"sqlite:///{tmp_path / 'x.sqlite'}", tmp_path, 2)

    def put(record: ExposureRecord, session_id: int = 1) -> None:
        with database.write() as connection:
            publish(connection, ["relion"], session_id, record)

    put(record_of(1, figures={"motion_total_angstrom": 1.5, "of_a_newer_agent": 3}))
    put(record_of(2, figures={}))
    put(record_of(3, figures={"hot_pixel_count": 4}), 2)
    assert kept(database) == {
        (1, 1): {"motion_total_angstrom": 1.5, "of_a_newer_agent": 3.0},
        (2, 3): {"hot_pixel_count": 4.0},
    }
    put(record_of(1, 2, figures={"of_a_newer_agent": 5, "dead_pixel_count": 0}))
    put(record_of(1, 2, figures={"of_a_newer_agent": 5, "dead_pixel_count": 0}))
    assert kept(database)[1, 1] == {"of_a_newer_agent": 5.0, "dead_pixel_count": 0.0}
    database.close()
