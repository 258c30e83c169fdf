"""Every statement that a file costs finds its rows by an index, however many files are on record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from api.database.engine import Database
from api.database.tables import now
from api.store.promises import PROMISE_S, LeftUpload
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.protocol import UploadDeclaration

Statements = list[tuple[str, object]]
CHUNK = chunk_digest(b"x")


@pytest.fixture
def inside(receiver, wire):
    """Return what the routes of a receiver with a session `s1` share."""
    return receiver.app.state.receiver


def statements_of(database: Database, action: Callable[[], object]) -> Statements:
    """Return the statements, with their parameters, that reach the database while this thread does something."""
    seen: Statements = []

    def keep(_connection, _cursor, statement, parameters, _context, executemany) -> None:
        if threading.get_ident() == own:
            seen.append((statement, parameters[0] if executemany else parameters))

    own = threading.get_ident()
    event.listen(database.engine, "before_cursor_execute", keep)
    try:
        action()
    finally:
        event.remove(database.engine, "before_cursor_execute", keep)
    return [(statement, values) for statement, values in seen if statement.split()[0] in WITH_PLANS]


WITH_PLANS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def plans_of(database: Database, statements: Statements) -> list[str]:
    """Return the database's plans for statements. PostgreSQL must say how it would do without reading whole tables."""
    is_sqlite = database.engine.dialect.name == "sqlite"
    plans = []
    with database.read() as connection:
        if not is_sqlite:
            for way in ("seqscan", "bitmapscan", "mergejoin", "hashjoin"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        for statement, parameters in statements:
            explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
            plans.append("\n".join(str(row[-1]) for row in rows))
    return plans


def whole_tables_read(plans: list[str]) -> list[str]:
    """Return the steps of plans that read a whole table, or a whole index."""
    steps = [line.strip() for plan in plans for line in plan.splitlines()]
    of_sqlite = [step for step in steps if step.startswith("SCAN ") and step != "SCAN CONSTANT ROW"]
    return of_sqlite + [step for step in steps if "Seq Scan on" in step]


def declaration(path: str, size_bytes: int = 1, revision: int = 1) -> UploadDeclaration:
    return UploadDeclaration(session="s1", path=path, size_bytes=size_bytes, revision=revision)


def declare(inside, path: str, *, one_request: bool = False, **more: int):
    return inside.uploads.declare(
        uuid4(), declaration(path, **more), require_space=lambda *_: None, one_request=one_request
    )[0]


def test_the_promised_space_is_summed_by_the_index_of_the_time(inside) -> None:
    declare(inside, "open")
    statements = statements_of(inside.database, lambda: declare(inside, "a", one_request=True))
    (promised,) = [one for one in statements if "touched_at >" in one[0]]  # the one that ran, not one like it
    (plan,) = plans_of(inside.database, [promised])
    assert "ix_uploads_touched_at" in plan
    assert "pk_upload_chunks" in plan or "sqlite_autoindex_upload_chunks_1" in plan
    assert whole_tables_read([plan]) == []


def test_no_step_of_a_file_reads_a_whole_table(inside) -> None:
    book = inside.uploads

    def one_request() -> None:
        book.record_commit(declare(inside, "a", one_request=True), root_digest([CHUNK]), 1)

    def in_parts() -> None:
        upload = declare(inside, "b")
        book.mark(upload, {0: CHUNK})
        book.end_promises([LeftUpload.by_now(upload.id)])
        book.with_chunks(upload.id, range(1))
        book.missing(upload)
        book.record_commit(upload, root_digest([CHUNK]), 1)
        committed = book.require(upload.id)
        book.status(committed)
        book.receipt(committed)

    def again_and_not() -> None:
        with pytest.raises(Exception, match="reserved"):
            declare(inside, "open")
        with pytest.raises(Exception, match="next is"):
            declare(inside, "a", revision=7)
        book.withdraw(declare(inside, "c"))

    declare(inside, "open")
    for action in (one_request, in_parts, again_and_not):
        statements = statements_of(inside.database, action)
        assert len(statements) >= 6  # the check had something to look at
        assert whole_tables_read(plans_of(inside.database, statements)) == [], action.__name__


def test_old_uploads_are_found_by_the_index_of_the_time(inside) -> None:
    since = now() - timedelta(seconds=PROMISE_S)
    statements = statements_of(inside.database, lambda: inside.uploads.untouched_since(since))
    (plan,) = plans_of(inside.database, statements)
    assert "ix_uploads_touched_at" in plan


def test_a_plan_that_reads_a_whole_table_is_noticed(inside) -> None:
    bad = [("SELECT size_bytes FROM uploads WHERE size_bytes > 7", ())]
    assert len(whole_tables_read(plans_of(inside.database, bad))) == 1
