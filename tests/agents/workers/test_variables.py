"""The variables that a worker's process gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.workers.local_process import LocalProcessWorker
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux")


def variables_of(worker: LocalProcessWorker) -> set[bytes]:
    """Return the variables of a worker's process, once it runs."""
    worker.start()
    try:
        environment = Path(f"/proc/{worker.pid}/environ")
        wait_until(lambda: b"OPENBLAS_NUM_THREADS" in environment.read_bytes(), "the worker's own variables")
        return set(environment.read_bytes().split(b"\0"))
    finally:
        worker.close()


def test_blas_starts_no_threads_and_freed_memory_is_kept_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert {b"OPENBLAS_NUM_THREADS=1", b"MALLOC_ARENA_MAX=1"} <= variables_of(LocalProcessWorker())


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    found = variables_of(LocalProcessWorker({"MALLOC_ARENA_MAX": "3"}))
    assert {b"OPENBLAS_NUM_THREADS=2", b"MALLOC_ARENA_MAX=3"} <= found
