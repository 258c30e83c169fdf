from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import claimed_exposures, exposure_figures, metadata, sessions
from api.errors import DatabaseUnavailable
from api.store.known_movies import known_of
from transfer.wire import version_1
from transfer.wire.exposure_claim import MovieClaim

ROOT = Path(__file__).parents[3]


def test_the_migrations_make_what_the_code_says(database, tmp_path) -> None:
    upgrade(database, tmp_path)  # repeatable
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_processes_that_start_together_migrate_one_after_the_other(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from api.database.engine import Database
from api.database.migrate import upgrade

folder = Path(sys.argv[1])
sys.stdin.read()
upgrade(Database(f"sqlite:///{folder / 'x.sqlite'}"), folder)
"""
    words = [sys.executable, "-c", program, str(tmp_path)]
    started = [subprocess.Popen(words, stdin=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in started] == [0, 0, 0]


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none' / 'x.sqlite'}")
    with pytest.raises(DatabaseUnavailable, match="cannot be used"):
        upgrade(database, tmp_path)
    database.close()


def migrate_to(database: Database, revision: str) -> None:
    """Bring a database to the form of an older version."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "api" / "migrations"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_exposures_of_older_versions_are_found_by_their_paths(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    migrate_to(database, "0003")
    ids = [uuid4() for _ in range(3)]
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sessions (id, name, state, created_at) VALUES (1, 's1', 'open', '2026')"
        )
        for key, exposure_id in enumerate(ids, 1):
            # The first two are the same movie: an agent had lost its journal.
            movie, stem = ("d/x.tiff", "d/x") if key < 3 else ("y.tiff", "y")
            record = {
                "exposure_id": str(exposure_id),
                "movie": movie,
                "files": [{"role": "results", "path": "other"}, {"role": "micrograph", "path": f"{stem}.mrc"}],
            }
            connection.exec_driver_sql(
                "INSERT INTO exposures (id, session_id, exposure_id, revision, micrograph_name) VALUES (?, 1, ?, 2, ?)",
                (key, exposure_id.hex, f"{key}.mrc"),
            )
            connection.exec_driver_sql(
                "INSERT INTO exposure_records (exposure, revision, record, published_at) VALUES (?, 2, ?, '2026')",
                (key, json.dumps(record)),
            )
    upgrade(database, tmp_path)
    with database.read() as connection:
        claimed = connection.execute(select(claimed_exposures).order_by(claimed_exposures.c.id)).all()
        known = known_movies(connection, ("d/x.tiff", "y.tiff"))
    database.close()
    assert [(row.exposure_id, row.stem, row.revision, row.agent) for row in claimed] == [
        (ids[0], "d/x", 2, None),
        (ids[1], ids[1].hex, 2, None),
        (ids[2], "y", 2, None),
    ]
    assert known == [(ids[0], 2), (ids[2], 2)]


def test_figures_of_older_versions_become_rows(tmp_path: Path) -> None:
    """Those of the newest records, of both versions of the protocol, also if nobody knows them now."""
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    migrate_to(database, "0009")
    motion = {"total_angstrom": 2.5, "early_angstrom": 2, "late_angstrom": 0.5}
    ctf = {"defocus_u_angstrom": 1e4, "defocus_v_angstrom": 9e3, "astigmatism_angle_degrees": 3, "fit_quality": None}
    records = {
        1: [{"motion": motion, "ctf": None}, {"motion": motion, "ctf": ctf}],
        2: [{"figures": {"motion_total_angstrom": 7, "of_another_agent": -1e-300}}],
        3: [{"figures": {"hot_pixel_count": 9}}, {"figures": {}}],
    }
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sessions (id, name, state, created_at) VALUES (5, 's1', 'open', '2026')"
        )
        for key, revisions in records.items():
            connection.exec_driver_sql(
                "INSERT INTO exposures (id, session_id, exposure_id, revision, micrograph_name) VALUES (?, 5, ?, ?, ?)",
                (key, uuid4().hex, len(revisions), f"{key}.mrc"),
            )
            for revision, record in enumerate(revisions, 1):
                connection.exec_driver_sql(
                    "INSERT INTO exposure_records (exposure, revision, record, published_at) VALUES (?, ?, ?, '2026')",
                    (key, revision, json.dumps(record)),
                )
    upgrade(database, tmp_path)
    with database.read() as connection:
        rows = connection.execute(select(exposure_figures).order_by(exposure_figures.c.exposure)).all()
        rejected = connection.scalar(select(sessions.c.rejected_count))
    database.close()
    assert {row.session_id for row in rows} == {5}
    assert rejected == 0
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row.exposure, {})[row.name] = row.value
    upgraded = version_1.upgraded(records[1][1])["figures"]
    assert found == {1: upgraded, 2: {"motion_total_angstrom": 7.0, "of_another_agent": -1e-300}}


def known_movies(connection: Connection, paths: Sequence[str]) -> list[tuple[UUID, int | None]]:
    """Return exposure and published revision of the movies that claims from some paths find."""
    claims = [
        MovieClaim(exposure_id=uuid4(), stem="x", path=path, size_bytes=1, sampled_digest="0" * 64) for path in paths
    ]
    known = known_of(connection, 1, claims)
    movies = [known.by_path["", path] for path in paths]
    return [(movie.exposure.exposure_id, movie.published_revision) for movie in movies]
