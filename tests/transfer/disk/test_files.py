from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer.disk.files import (
    forget_cached,
    make_file,
    make_link,
    may_have_holes,
    name_new_file,
    open_to_read,
    open_to_write,
    read_at,
    read_into_at,
    sync_file,
    sync_folder,
    write_at,
)

SOME = b"the bytes of a micrograph"


def test_bytes_come_back_from_where_they_were_written(tmp_path: Path) -> None:
    descriptor = open_to_write(tmp_path / "file", create=True)
    try:
        write_at(descriptor, SOME, 100)
        buffer = memoryview(bytearray(8))
        assert read_into_at(descriptor, buffer, 104) == 8
        assert bytes(buffer) == SOME[4:12]
        assert read_at(descriptor, 1000, 100) == SOME
        assert read_at(descriptor, 10, 100 + len(SOME)) == b""
    finally:
        os.close(descriptor)


def test_a_disk_that_takes_only_some_bytes_is_given_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.pwrite
    monkeypatch.setattr("transfer.disk.files.os.pwrite", lambda fd, data, offset: written(fd, data[:3], offset))
    descriptor = open_to_write(tmp_path / "file", create=True)
    try:
        write_at(descriptor, SOME, 5)
    finally:
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == bytes(5) + SOME


def test_a_file_to_write_is_made_only_if_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_to_write(tmp_path / "file")
    os.close(open_to_write(tmp_path / "file", exclusive=True, mode=0o600))
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        open_to_write(tmp_path / "file", exclusive=True)


def test_a_file_to_write_is_never_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        open_to_write(tmp_path / "link", create=True)


def test_opening_a_pipe_does_not_wait_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.close(open_to_read(tmp_path / "pipe"))


def test_a_hole_is_seen(tmp_path: Path) -> None:
    descriptor = open_to_write(tmp_path / "file", create=True)
    try:
        assert not may_have_holes(descriptor, 0)
        write_at(descriptor, bytes(1 << 20), 0)
        assert not may_have_holes(descriptor, 1 << 20)
        os.ftruncate(descriptor, 8 << 20)
        assert may_have_holes(descriptor, 8 << 20)
    finally:
        os.close(descriptor)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced, in order: the name of the file or folder at that moment."""
    names: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return names


def test_files_and_folders_are_synced(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "file").write_bytes(SOME)
    sync_file(tmp_path / "file")
    sync_folder(tmp_path)
    assert synced == ["file", tmp_path.name]


def test_a_made_file_is_synced_before_it_has_its_name(tmp_path: Path, synced: list[str]) -> None:
    path = tmp_path / "folder" / "file"
    for content in (b"first", b"second"):
        make_file(path, lambda temporary, content=content: temporary.write_bytes(content))
        assert path.read_bytes() == content
    assert synced == [".file.new", "folder"] * 2
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        make_file(path, fail)
    assert path.read_bytes() == b"old"
    make_file(path, lambda temporary: temporary.write_bytes(b"new"))  # what is left of the first try is in nobody's way
    assert path.read_bytes() == b"new"


def test_a_link_is_relative_and_replaced_in_one_step(tmp_path: Path, synced: list[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        make_link(tmp_path / "links" / "link", tmp_path / name)
        assert (tmp_path / "links" / "link").read_text() == name
        assert str((tmp_path / "links" / "link").readlink()) == f"../{name}"
    make_link(tmp_path / "links" / "link", tmp_path / "two")
    assert synced == ["links", "links"]  # the third call changed nothing


def test_a_new_name_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(SOME)
    (tmp_path / "taken").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        name_new_file(tmp_path / "new", tmp_path / "taken")
    assert (tmp_path / "taken").read_bytes() == b"old"
    name_new_file(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == SOME


def test_a_new_name_replaces_nothing_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as exFAT and some shares answer

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "new").write_bytes(SOME)
    (tmp_path / "taken").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        name_new_file(tmp_path / "new", tmp_path / "taken")
    assert (tmp_path / "taken").read_bytes() == b"old"
    name_new_file(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == SOME


def test_a_name_that_cannot_be_given_for_another_reason_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "new").touch()
    with pytest.raises(OSError, match="Input/output"):
        name_new_file(tmp_path / "new", tmp_path / "name")
    assert not (tmp_path / "name").exists()


def test_what_is_forgotten_is_read_from_the_disk_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(SOME)
    sync_file(path)
    descriptor = open_to_read(path)
    try:
        forget_cached(descriptor)
        assert read_at(descriptor, len(SOME), 0) == SOME
    finally:
        os.close(descriptor)


def test_a_system_that_cannot_forget_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("transfer.disk.files.os.posix_fadvise")
    assert not forget_cached(0)
