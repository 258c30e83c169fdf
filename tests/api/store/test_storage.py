"""The disk side of a commit: nothing is replaced, nothing leads outside, everything is repeatable."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from api.errors import DataFolderUnusable
from api.store.storage import Storage, location_of
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.errors import NameTaken, NotFound, ReceiverFull

ROOT = root_digest([chunk_digest(b"hello")])


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path / "data", 0)
    storage.prepare()
    return storage


@pytest.fixture
def part(storage: Storage):
    """Return (descriptor, path) of a part file that holds `hello`."""
    upload = uuid4()
    fd = storage.open_part(upload, 1, create=True)
    os.write(fd, b"hello")
    yield fd, storage.part_path(upload, 1)
    os.close(fd)


def test_new_folders_are_for_their_owner_alone(storage: Storage, part) -> None:
    storage.publish(*part, "sessions/s/files/a/b", ROOT, 5)
    folders = [storage.data, *(path for path in storage.data.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_an_operators_folder_keeps_its_permissions_and_passes_them_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o750)
    Storage(data, 0).prepare()
    folders = [data, data / "incoming", data / "sessions"]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o750}


def test_where_files_lie() -> None:
    assert location_of("s", "a/b", 1) == "sessions/s/files/a/b"
    assert location_of("s", "a/b", 2) == "sessions/s/revisions/2/a/b"


def test_publishing_is_repeatable(storage, part) -> None:
    for _ in range(2):
        storage.publish(*part, "sessions/s/files/a/b", ROOT, 5)
    assert (storage.data / "sessions/s/files/a/b").read_bytes() == b"hello"
    assert storage.is_published(part[0], "sessions/s/files/a/b")
    assert not storage.is_published(part[0], "sessions/s/files/a/c")
    assert not storage.is_published(part[0], "sessions/none/files/a")


def test_every_folder_on_the_way_is_synced(storage, part, monkeypatch) -> None:
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), fsync(fd)))
    (storage.data / "sessions/s").mkdir()  # made by another commit that has not synced it yet
    storage.publish(*part, "sessions/s/files/a/b", ROOT, 5)
    chain = ("", "/sessions", "/sessions/s", "/sessions/s/files", "/sessions/s/files/a")
    assert synced == [f"{storage.data}{folder}" for folder in reversed(chain)]


def test_a_visible_file_is_never_replaced(storage, part) -> None:
    there = storage.data / "sessions/s/files/a"
    there.parent.mkdir(parents=True)
    for content in (b"HELLO", b"longer than that"):
        there.write_bytes(content)
        with pytest.raises(NameTaken):
            storage.publish(*part, "sessions/s/files/a", ROOT, 5)
        storage.unpublish(part[0], "sessions/s/files/a")
        assert there.read_bytes() == content


def test_the_same_content_under_the_name_counts_as_published(storage, part) -> None:
    there = storage.data / "sessions/s/files/a"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"hello")
    storage.publish(*part, "sessions/s/files/a", ROOT, 5)
    assert there.stat().st_nlink == 1


def test_no_link_is_followed(storage, part, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hello").write_bytes(b"hello")
    (storage.data / "sessions/s").mkdir()
    (storage.data / "sessions/s/files").symlink_to(outside)
    with pytest.raises(NameTaken):
        storage.publish(*part, "sessions/s/files/a", ROOT, 5)
    (storage.data / "sessions/t/files").mkdir(parents=True)
    (storage.data / "sessions/t/files/a").symlink_to(outside / "hello")
    with pytest.raises(NameTaken):
        storage.publish(*part, "sessions/t/files/a", ROOT, 5)
    with pytest.raises(OSError, match="symbolic links"):
        storage.open_committed("sessions/t/files/a")
    assert [path.name for path in outside.iterdir()] == ["hello"]


def test_taking_back_a_name(storage, part) -> None:
    storage.publish(*part, "sessions/s/files/a", ROOT, 5)
    storage.unpublish(part[0], "sessions/s/files/a")
    storage.unpublish(part[0], "sessions/s/files/a")
    assert not (storage.data / "sessions/s/files/a").exists()
    with pytest.raises(NotFound):
        storage.open_committed("sessions/s/files/a")


def test_space_is_kept_in_reserve(tmp_path) -> None:
    storage = Storage(tmp_path, 0)
    storage.require_space(1)
    free = storage.free_bytes()
    with pytest.raises(ReceiverFull):
        Storage(tmp_path, free + (1 << 30)).require_space(1)


def test_a_folder_that_cannot_be_used(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataFolderUnusable):
        Storage(tmp_path / "file", 0).prepare()
