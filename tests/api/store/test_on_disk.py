"""How a committed file is on the disk, by a look and by reading it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from api.store.on_disk import FileRow, look, read_again
from api.store.storage import Storage
from transfer.disk.files import file_identity
from transfer.wire.verification import FileCheck

CONTENT = os.urandom(9 << 20)
MISSING, CHANGED, SAME = FileCheck.MISSING, FileCheck.CHANGED, FileCheck.SAME


@pytest.fixture(scope="module")
def digest(root_digest_of) -> str:
    root: str = root_digest_of(CONTENT)
    return root


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path, 0)
    storage.prepare()
    return storage


@pytest.fixture
def path(storage: Storage) -> Path:
    path = storage.data / "sessions/s/files/a/b.mrc"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def file(path: Path, digest: str) -> FileRow:
    mtime_ns = path.stat().st_mtime_ns
    return FileRow(1, 1, "s", "a/b.mrc", 1, len(CONTENT), digest, "sessions/s/files/a/b.mrc", mtime_ns, None, 1, False)


def test_a_file_as_it_was_committed(storage, file, path) -> None:
    assert look(storage, file)[:6] == (SAME, "", file.mtime_ns, False, None, None)
    assert look(storage, file).identity == file_identity(path.stat())
    seen = read_again(storage, file)
    assert (seen.check, seen.root, seen.sha256) == (SAME, file.digest, hashlib.sha256(CONTENT).hexdigest())


def test_another_time_stamp_is_doubtful_and_one_that_was_never_known_is_not(storage, file, path) -> None:
    os.utime(path, ns=(1, 1))
    assert look(storage, file)[:4] == (SAME, "", 1, True)
    assert look(storage, replace(file, mtime_ns=None))[:4] == (SAME, "", 1, False)
    assert read_again(storage, file).check is SAME


def test_other_bytes_of_the_same_size_and_time_are_found_by_reading(storage, file, path) -> None:
    with path.open("r+b") as changed:
        changed.seek(8_400_000)
        changed.write(bytes([CONTENT[8_400_000] ^ 1]))
    os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
    assert look(storage, file)[:4] == (SAME, "", file.mtime_ns, False)
    assert read_again(storage, file).check is CHANGED


def as_nothing(path: Path) -> None:
    path.unlink()


def as_no_folder(path: Path) -> None:
    path.rename(path.parents[1] / "moved")
    path.parent.rmdir()


def as_a_file_for_its_folder(path: Path) -> None:
    as_no_folder(path)
    path.parent.write_text("in the way")


def as_a_shorter_file(path: Path) -> None:
    os.truncate(path, len(CONTENT) - 1)


def as_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_a_link_to_the_same_bytes(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        (as_nothing, MISSING),
        (as_no_folder, MISSING),
        (as_a_file_for_its_folder, MISSING),
        (as_a_shorter_file, CHANGED),
        (as_a_folder, CHANGED),
        (as_a_pipe, CHANGED),
        (as_a_link_to_the_same_bytes, CHANGED),
    ],
)
def test_what_is_not_as_it_was_committed_is_named(storage, file, path, harm, check) -> None:
    harm(path)
    assert look(storage, file).check is check
    seen = read_again(storage, file)
    assert seen.check is check
    assert seen.detail


def test_a_disk_that_cannot_read_says_nothing_about_the_content(storage, file, path, monkeypatch) -> None:
    def broken(*_arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("api.store.on_disk.read_at", broken)
    seen = read_again(storage, file)
    assert (seen.check, seen.detail) == (FileCheck.UNREADABLE, "the disk reports: Input/output error")


def test_a_file_that_becomes_shorter_while_it_is_read(storage, file, path) -> None:
    def shorten(size_bytes: int) -> None:
        os.truncate(path, 5_000_000)

    assert read_again(storage, file, before_read=shorten).check is CHANGED
