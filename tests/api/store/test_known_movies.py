from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, insert

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import metadata, now, sessions
from api.store.claims import ClaimBook
from api.store.storage import Storage
from transfer.wire.exposure_claim import ClaimBatch, ClaimStatus, MovieClaim


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return a database with one session, whose key is 1."""
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    upgrade(database, tmp_path)
    with database.write() as connection:
        connection.execute(insert(sessions).values(id=1, name="s1", state="open", created_at=datetime.now(UTC)))
    yield database
    database.close()


def claim(path: str, **more: Any) -> MovieClaim:
    common = {"exposure_id": uuid4(), "stem": path, "size_bytes": 1, "sampled_digest": "0" * 64, "suffixes": (".mrc",)}
    return MovieClaim(**{**common, "path": path, **more})


def test_every_statement_of_a_claim_uses_an_index(database, tmp_path) -> None:
    """So a claim costs the same however many movies are known."""
    book, agent = ClaimBook(database, Storage(tmp_path, 0), now), uuid4()
    statements: dict[str, Any] = {}
    event.listen(database.engine, "before_cursor_execute", lambda *call: statements.setdefault(call[2], call[3]))
    told = [
        book.answer(1, ClaimBatch(agent=agent, claims=(wanted,)))[0].status
        for wanted in (claim("x"), claim("x"), claim("y"), claim("y", movie_digest="1" * 64))
    ]
    expected = [ClaimStatus.CLAIMED, ClaimStatus.CLAIMED, ClaimStatus.DIGEST_NEEDED, ClaimStatus.CLAIMED]
    assert told == expected
    explained = 0
    with database.read() as connection:
        for statement, parameters in list(statements.items()):
            if statement.startswith(("SELECT", "UPDATE", "WITH")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                scanned = {step.detail.split()[1] for step in plan if step.detail.startswith("SCAN")}
                assert scanned.isdisjoint(metadata.tables), (statement, plan)
                explained += 1
    assert explained >= 6
