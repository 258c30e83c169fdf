from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import metadata
from api.errors import DatabaseUnavailable

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
