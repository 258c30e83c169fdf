"""A file that the disk has lost is noted once, or its name is freed and its content kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from api.database.tables import data_folder, events, files, sessions
from api.store.lost_files import LOST, free_lost, note_lost, note_same
from api.store.on_disk import FILE_COLUMNS, FileOnDisk, FileRow, file_row, look
from transfer.wire.errors import StorageFailed
from transfer.wire.verification import FileCheck

MOMENT = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
GONE = FileOnDisk(FileCheck.MISSING, "it is not on the disk")


@pytest.fixture
def path(receiver, wire) -> Path:
    """Return where the one committed file is."""
    assert wire.put_file("a/b", b"hello").status_code == 201
    return Path(receiver.data / "sessions/s1/files/a/b")


@pytest.fixture
def database(receiver, path):
    return receiver.app.state.receiver.database


@pytest.fixture
def storage(receiver):
    return receiver.app.state.receiver.storage


def the_file(database) -> FileRow | None:
    with database.read() as connection:
        row = connection.execute(select(*FILE_COLUMNS).join_from(files, sessions)).one_or_none()
    return row and file_row(row)


def losses(database) -> int:
    with database.read() as connection:
        return int(connection.scalar(select(data_folder.c.losses)))


def lost_events(database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(events.c.detail).where(events.c.kind == LOST)))


def counted_files(database) -> tuple[int, int]:
    with database.read() as connection:
        return tuple(connection.execute(select(sessions.c.file_count, sessions.c.file_bytes)).one())


def freed(database, storage, file: FileRow, seen: FileOnDisk) -> str | None:
    with database.write() as connection:
        return free_lost(connection, storage, file, seen, MOMENT)


def test_a_loss_is_noted_once_and_changes_nothing_else(database, path) -> None:
    file = the_file(database)
    for is_new in (True, False):
        with database.write() as connection:
            assert note_lost(connection, file, GONE) is is_new
    assert losses(database) == 1
    assert lost_events(database) == ["revision 1: missing, it is not on the disk"]
    assert the_file(database).is_noted_lost
    assert path.read_bytes() == b"hello"


def test_a_file_that_is_there_again_is_not_lost(database, storage, path) -> None:
    file = the_file(database)
    with database.write() as connection:
        note_lost(connection, file, GONE)
        note_same(connection, file, look(storage, file))
    again = the_file(database)
    assert (again.is_noted_lost, again.mtime_ns) == (False, path.stat().st_mtime_ns)


def test_a_missing_file_can_be_sent_again_with_any_content(database, storage, path, wire) -> None:
    before = counted_files(database)
    file = the_file(database)
    path.unlink()
    assert freed(database, storage, file, look(storage, file)) is None
    assert counted_files(database) == (before[0] - 1, before[1] - 5)
    assert losses(database) == 1
    assert not (storage.data / "set-aside").exists()
    assert wire.put_file("a/b", b"other").status_code == 201
    assert path.read_bytes() == b"other"


def test_a_changed_file_is_kept_aside(database, storage, path, wire) -> None:
    path.write_bytes(b"changed")
    file = the_file(database)
    aside = freed(database, storage, file, look(storage, file))
    assert aside == "set-aside/20260504T123015Z/sessions/s1/files/a/b"
    assert (storage.data / aside).read_bytes() == b"changed"
    assert not path.exists()
    assert aside in lost_events(database)[0]
    assert wire.put_file("a/b", b"hello").status_code == 201
    path.write_bytes(b"changed again")
    file = the_file(database)
    second = freed(database, storage, file, look(storage, file))
    assert second == "set-aside/20260504T123015Z-1/sessions/s1/files/a/b"  # the same second: nothing is replaced
    assert (storage.data / aside).read_bytes() == b"changed"
    assert losses(database) == 2


def test_a_folder_or_link_in_its_place_is_kept_aside_too(database, storage, path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")
    file = the_file(database)
    aside = freed(database, storage, file, look(storage, file))
    assert (storage.data / aside).is_symlink()


def test_a_name_stays_committed_while_its_content_cannot_be_set_aside(database, storage, path) -> None:
    path.write_bytes(b"changed")
    (storage.data / "set-aside").write_bytes(b"no folder")
    file = the_file(database)
    with pytest.raises(StorageFailed, match="nothing can be set aside"):
        freed(database, storage, file, look(storage, file))
    assert the_file(database) == file
    assert path.read_bytes() == b"changed"


@pytest.mark.parametrize("is_link", [True, False])
def test_what_replaced_a_folder_of_several_files_is_kept_aside(database, storage, path, wire, is_link) -> None:
    assert wire.put_file("a/c", b"second").status_code == 201
    folder, moved = path.parent, path.parent.with_name("moved")
    folder.rename(moved)
    if is_link:
        folder.symlink_to("moved")
    else:
        folder.write_bytes(b"no folder")
    sent = {
        name: wire.put_file(f"a/{name}", content).status_code
        for name, content in {"b": b"hello", "c": b"second"}.items()
    }
    assert sent == {"b": 201, "c": 201}
    assert sorted(found.name for found in folder.iterdir()) == ["b", "c"]
    assert not folder.is_symlink()
    assert (moved / "b").read_bytes() == b"hello"
    assert len(list(storage.data.glob("set-aside/*/sessions/s1/files/*"))) == 1


def test_a_committed_file_in_the_place_of_a_lost_folder_stays(database, storage, path, wire) -> None:
    file = the_file(database)
    path.unlink()
    path.parent.rmdir()
    assert wire.put_file("a", b"a file now").status_code == 201
    assert freed(database, storage, file, look(storage, file)) is None
    assert path.parent.read_bytes() == b"a file now"


def test_a_file_that_was_freed_and_sent_again_meanwhile_is_left_alone(database, storage, path, wire) -> None:
    file = the_file(database)
    path.unlink()
    seen = look(storage, file)
    freed(database, storage, file, seen)
    assert wire.put_file("a/b", b"other").status_code == 201
    assert freed(database, storage, file, seen) is None
    assert the_file(database).size_bytes == 5
    assert path.read_bytes() == b"other"
    assert losses(database) == 1


def test_the_upload_of_a_file_that_was_freed_is_gone(database, storage, path, wire) -> None:
    upload = "6a1f6c1e-9f3c-4b43-9c3f-000000000001"
    assert wire.send(upload, "c", b"chunks").status_code == 201
    with database.read() as connection:
        file = file_row(
            connection.execute(select(*FILE_COLUMNS).join_from(files, sessions).order_by(files.c.id.desc())).first()
        )
    freed(database, storage, file, GONE)
    assert wire.http.get(f"/v1/uploads/{upload}").status_code == 410
    assert wire.send("6a1f6c1e-9f3c-4b43-9c3f-000000000002", "c", b"chunks").status_code == 201
