from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transfer.disk.files import (
    open_to_write,
)
from transfer.disk.locks import FileLock, file_lock, is_locked, try_lock_span

ROOT = Path(__file__).parents[3]


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
from transfer.disk.locks import FileLock
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
