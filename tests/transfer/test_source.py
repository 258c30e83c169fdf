"""A source notices every way in which a file can change behind its back."""

import os
from pathlib import Path

import pytest

from transfer.source import Source
from transfer.wire.errors import SourceChanged, SourceUnreadable


def append(path):
    with path.open("ab") as file:
        file.write(b"x")


def overwrite(path):
    path.write_bytes(b"other bytes"[: path.stat().st_size])
    os.utime(path, ns=(1, 1))


def replace(path):
    status = path.stat()
    twin = path.with_suffix(".twin")
    twin.write_bytes(path.read_bytes())
    os.utime(twin, ns=(status.st_atime_ns, status.st_mtime_ns))
    twin.replace(path)


def truncate(path):
    os.truncate(path, 3)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("change", [append, overwrite, replace, truncate, remove], ids=lambda change: change.__name__)
def test_a_changed_file_is_noticed(tmp_path, change):
    path = tmp_path / "movie.mrc"
    path.write_bytes(b"eleven long")
    with Source(path) as source:
        source.check_unchanged()
        change(path)
        with pytest.raises(SourceChanged):
            source.check_unchanged()


def test_reading_fills_the_buffer_from_any_place(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    buffer = memoryview(bytearray(10))
    with Source(path) as source:
        assert source.size_bytes == 100
        source.read_into(buffer, 90)
        assert bytes(buffer) == bytes(range(90, 100))
        source.check_unchanged()


def test_a_file_that_became_shorter_is_an_error_not_a_crash(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    with Source(path) as source:
        os.truncate(path, 50)
        with pytest.raises(SourceChanged, match="it had 100 bytes and ends at byte 50"):
            source.read_into(memoryview(bytearray(100)), 0)


def folder(tmp_path):
    return tmp_path


def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def nothing(tmp_path):
    return tmp_path / "nothing"


def dangling(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    return tmp_path / "link"


@pytest.mark.parametrize("make", [folder, pipe, nothing, dangling], ids=lambda make: make.__name__)
def test_what_is_not_a_readable_file_is_refused(tmp_path, make):
    with pytest.raises(SourceUnreadable) as caught:
        Source(make(tmp_path))
    assert caught.value.exit_code == 4


def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for path in (tmp_path, tmp_path / "file"):
        try:
            with Source(path):
                pass
        except SourceUnreadable:
            pass
    assert len(list(descriptors.iterdir())) == before
