from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transfer.disk import (
    FileLock,
    OpenFolder,
    file_lock,
    forget_cached,
    is_locked,
    make_file,
    make_link,
    may_have_holes,
    name_new_file,
    open_folders,
    open_to_read,
    open_to_write,
    read_at,
    read_into_at,
    sync_file,
    sync_folder,
    try_lock_span,
    write_at,
)

ROOT = Path(__file__).parents[2]
SOME = b"the bytes of a micrograph"


# open, read, write


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
    monkeypatch.setattr("transfer.disk.os.pwrite", lambda fd, data, offset: written(fd, data[:3], offset))
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


# sync and make


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


# folders held open


def test_folders_are_made_and_held_open(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(SOME)
    with open_folders(tmp_path, ["a", "b"], make=True) as (root, _, last):
        (tmp_path / "a").rename(tmp_path / "moved")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "a").symlink_to("elsewhere")
        last.link(tmp_path / "part", "name")
        assert last.status("name").st_size == len(SOME)
        descriptor = last.open_file("name")
        assert read_at(descriptor, 1000, 0) == SOME
        os.close(descriptor)
        with pytest.raises(NotADirectoryError):
            root.folder("a", make=True)
    assert (tmp_path / "moved" / "b" / "name").read_bytes() == SOME
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_is_not_there_or_a_file_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError), open_folders(tmp_path, ["none"], make=False):
        pass
    with pytest.raises(NotADirectoryError) as refused, open_folders(tmp_path, ["file", "x"], make=True):
        pass
    assert refused.value.filename == "file"


def test_a_linked_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    folder = OpenFolder.open(tmp_path)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            folder.open_file("link")
        folder.remove("link")
        with pytest.raises(FileNotFoundError):
            folder.status("link")
    finally:
        folder.close()


# locks


def test_a_lock_is_held_by_one_or_shared_by_many(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with file_lock(lock, wait=False), pytest.raises(BlockingIOError), file_lock(lock, wait=False):
        pass
    with file_lock(lock, wait=False, shared=True), file_lock(lock, wait=False, shared=True):
        assert not FileLock(lock).try_acquire()
    with file_lock(lock, wait=False):
        pass


def test_a_lock_says_whether_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    with FileLock(path) as lock, FileLock(path) as other:
        assert lock.try_acquire()
        assert lock.try_acquire()  # it is held already
        assert lock.held
        assert is_locked(path)
        assert not other.try_acquire()
        assert not other.held
        lock.release()
        assert not is_locked(path)
        assert other.try_acquire()
    assert not is_locked(path)


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from transfer.disk import FileLock
lock = FileLock(Path({str(tmp_path / "lock")!r}))
print(lock.try_acquire(), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert is_locked(tmp_path / "lock")
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path / "lock")


def test_bytes_are_locked_for_one_descriptor(tmp_path: Path) -> None:
    one, other = (open_to_write(tmp_path / "part", create=True) for _ in range(2))
    assert try_lock_span(one, range(100))
    assert not try_lock_span(other, range(50, 60))
    assert try_lock_span(other, range(100, 200))
    assert not try_lock_span(one, None)
    os.close(other)
    assert try_lock_span(one, None)
    os.close(one)


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
    monkeypatch.delattr("transfer.disk.os.posix_fadvise")
    assert not forget_cached(0)
