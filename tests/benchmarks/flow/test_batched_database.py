"""Many changes in one transaction: all of them, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from api.database.engine import Database
from api.database.grouped_writes import GroupedWrites
from benchmarks.flow.batched_database import BatchedDatabase


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM t")).scalar_one())


def test_changes_are_durable_together(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    database, others = BatchedDatabase(url), Database(url)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    writes = GroupedWrites(database)
    with database.together():
        for _ in range(3):
            writes.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (1)")))
            assert count(others) == 0
        assert count(database) == 3
    assert count(others) == 3
    with pytest.raises(KeyError):
        _fail_after_a_change(database, writes)
    assert count(others) == count(database) == 3
    database.close()
    others.close()


def _fail_after_a_change(database: BatchedDatabase, writes: GroupedWrites) -> None:
    with database.together():
        writes.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (1)")))
        raise KeyError
