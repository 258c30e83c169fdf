"""A database of an older version: what it had committed stays committed, and its open uploads go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from api.database.engine import Database
from api.settings import ReceiverSettings
from tests.contract.wire.test_upload_answers import refused
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest

MIGRATIONS = Path(__file__).parents[3] / "api/migrations"
OLD = {"one.mrc": os.urandom(1000), "two.mrc": os.urandom(CHUNK_BYTES + 7)}
OPEN = os.urandom(CHUNK_BYTES + 5)
MOMENT = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request) -> str | None:
    """Return the URL of a new database; None: the receiver's own SQLite."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()


@pytest.fixture
def old(database_url, tmp_path) -> Iterator[Database]:
    """Return a database as the version before committed uploads had a table of their own left it, still empty."""
    data = tmp_path / "receiver"
    data.mkdir()
    database = Database(ReceiverSettings(data=data, database=database_url).database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    yield database
    database.close()


def uuid_of(database: Database, upload: UUID) -> str:
    return upload.hex if database.engine.dialect.name == "sqlite" else str(upload)


def add_upload(connection: Connection, upload: str, path: str, chunks: dict[int, bytes], size: int, state: str) -> None:
    values = {"id": upload, "path": path, "size": size, "state": state, "at": MOMENT, "one": False}
    connection.execute(
        text(
            "INSERT INTO uploads"
            " (id, session_id, path, revision, size_bytes, state, generation, one_request, touched_at)"
            " VALUES (:id, 1, :path, 1, :size, :state, 1, :one, :at)"
        ),
        values,
    )
    for number, chunk in chunks.items():
        row = {"id": upload, "number": number, "digest": chunk_digest(chunk)}
        connection.execute(text("INSERT INTO upload_chunks VALUES (:id, :number, :digest, 'an older run')"), row)


def add_file(connection: Connection, path: str, size: int, digest: str) -> None:
    values = {"path": path, "size": size, "digest": digest, "place": f"sessions/s1/files/{path}", "at": MOMENT}
    connection.execute(
        text(
            "INSERT INTO files (session_id, path, revision, size_bytes, digest, location, committed_at)"
            " VALUES (1, :path, 1, :size, :digest, :place, :at)"
        ),
        values,
    )


def chunks_of(data: bytes) -> dict[int, bytes]:
    return {start // CHUNK_BYTES: data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)}


def test_committed_and_open_uploads_live_on(old, tmp_path, make_receiver, wire_to, root_digest_of) -> None:
    ids, begun, data = {path: uuid4() for path in OLD}, uuid4(), tmp_path / "receiver"
    files = data / "sessions/s1/files"
    files.mkdir(parents=True)
    with old.write() as connection:
        connection.execute(
            text("INSERT INTO sessions (id, name, uuid, state, created_at) VALUES (1, 's1', :uuid, 'open', :at)"),
            {"uuid": uuid_of(old, uuid4()), "at": MOMENT},
        )
        for path, content in OLD.items():
            (files / path).write_bytes(content)
            add_upload(connection, uuid_of(old, ids[path]), path, chunks_of(content), len(content), "committed")
            add_file(connection, path, len(content), root_digest_of(content))
        first = {0: OPEN[:CHUNK_BYTES]}
        add_upload(connection, uuid_of(old, begun), "open.mrc", first, len(OPEN), "receiving")
    (data / "incoming").mkdir()
    (data / "incoming" / f"{begun}.1.part").write_bytes(OPEN[:CHUNK_BYTES])

    wire = wire_to(make_receiver(data=data))
    for path, content in OLD.items():
        root = root_digest_of(content)
        receipt = wire.commit(ids[path], root)
        assert (receipt.status_code, receipt.json()["digest"], receipt.json()["is_new"]) == (200, root, False)
        refused(wire.commit(ids[path], "0" * 64), 409, "name-taken")
        assert wire.http.get(f"/v1/uploads/{ids[path]}/ranges").json() == {"missing": []}
        again = wire.declare(uuid4(), path, len(content)).json()
        assert (again["upload_id"], again["state"]) == (str(ids[path]), "committed")
        chunk = chunks_of(content)[0]
        assert wire.put(ids[path], chunk, 0, len(content)).status_code == 204
        refused(wire.put(ids[path], bytes(len(chunk)), 0, len(content)), 409, "name-taken")
        refused(wire.http.delete(f"/v1/uploads/{ids[path]}"), 409, "upload-conflict")
        assert wire.put_file(path, content).status_code == 200
    with old.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM upload_chunks")) == 1
        assert connection.scalar(text("SELECT count(*) FROM uploads")) == 1
        assert connection.scalar(text("SELECT count(*) FROM files WHERE mtime_ns IS NULL")) == 0  # noted when asked

    gap = {"first": CHUNK_BYTES, "last": len(OPEN) - 1}
    assert wire.http.get(f"/v1/uploads/{begun}/ranges").json() == {"missing": [gap]}
    assert wire.put(begun, OPEN[CHUNK_BYTES:], CHUNK_BYTES, len(OPEN)).status_code == 204
    receipt = wire.commit(begun, root_digest_of(OPEN))
    assert (receipt.status_code, receipt.json()["sequence"]) == (201, 1)
    assert (files / "open.mrc").read_bytes() == OPEN
