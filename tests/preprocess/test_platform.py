from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.workers.kept_memory import environment_of_worker
from preprocess.platform import is_running, sync, usable_cores
from transfer.platform import glibc_version


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))


def test_a_system_without_affinity_counts_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()


def test_a_process_runs_until_it_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert is_running(process.pid)
    process.communicate()
    assert not is_running(process.pid)
    assert is_running(1)  # another user's process counts, too


def test_files_and_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)
    assert synced == [tmp_path / "file", tmp_path]


KEEPING = """
import numpy as np
from preprocess.platform import kept_bytes, stop_keeping_memory
before = kept_bytes()
image = np.ones(200_000_000, np.uint8)
held = kept_bytes()
del image
freed = kept_bytes()
stop_keeping_memory()
given_back = kept_bytes()
image = np.ones(200_000_000, np.uint8)
del image
print(before, held, freed, given_back, kept_bytes())
"""


@pytest.mark.skipif(glibc_version() is None, reason="needs glibc")
def test_kept_memory_is_counted_until_a_process_stops_keeping_it() -> None:
    """One process keeps what it frees, as a worker does; the other gives it back at once."""
    counted = {}
    for keeps in (True, False):
        environment = environment_of_worker(os.environ, glibc_version() if keeps else None)
        done = subprocess.run(
            [sys.executable, "-c", KEEPING], env=environment, check=True, capture_output=True, text=True
        )
        counted[keeps] = [int(number) for number in done.stdout.split()]
    before, held, freed, given_back, later = counted[True]
    assert max(before, held, given_back, later, *counted[False]) < 60_000_000
    assert 190_000_000 < freed < 260_000_000
