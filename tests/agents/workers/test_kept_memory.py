"""What a worker's process is told about its memory, by the variables that it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.workers.kept_memory import environment_of_worker
from agents.workers.local_process import LocalProcessWorker
from tests.waiting import wait_until
from transfer.platform import glibc_version

RECENT = (2, 36)


def test_a_worker_keeps_its_memory_in_huge_pages_and_blas_starts_no_threads() -> None:
    assert environment_of_worker({"HOME": "/h"}, RECENT) == {
        "HOME": "/h",
        "OPENBLAS_NUM_THREADS": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "70368744177664",
        "MALLOC_ARENA_MAX": "1",
    }


def test_what_the_user_set_stays() -> None:
    given = {"OPENBLAS_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "4", "GLIBC_TUNABLES": "glibc.malloc.mmap_max=9"}
    environment = environment_of_worker(given, RECENT)
    assert environment["OPENBLAS_NUM_THREADS"] == "2"
    assert environment["MALLOC_ARENA_MAX"] == "4"
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.mmap_max=9:glibc.malloc.hugetlb=1"
    assert "MALLOC_MMAP_MAX_" not in environment  # the tunable says the same
    assert given == {
        "OPENBLAS_NUM_THREADS": "2",
        "MALLOC_ARENA_MAX": "4",
        "GLIBC_TUNABLES": "glibc.malloc.mmap_max=9",
    }


@pytest.mark.parametrize("pages", ["0", "2"])
def test_the_users_choice_of_pages_stays(pages: str) -> None:
    given = {"GLIBC_TUNABLES": f"glibc.malloc.hugetlb={pages}"}
    assert environment_of_worker(given, RECENT)["GLIBC_TUNABLES"] == given["GLIBC_TUNABLES"]


def test_an_older_c_library_is_not_asked_for_huge_pages() -> None:
    environment = environment_of_worker({}, (2, 28))
    assert "GLIBC_TUNABLES" not in environment
    assert environment["MALLOC_MMAP_MAX_"] == "0"


def test_another_c_library_is_left_as_it_is() -> None:
    assert environment_of_worker({}, None) == {"OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux")
def test_the_process_has_them() -> None:
    worker = LocalProcessWorker({"MALLOC_ARENA_MAX": "3"})
    worker.start()
    try:
        environment = Path(f"/proc/{worker.pid}/environ")
        wait_until(lambda: b"MALLOC_ARENA_MAX=3" in environment.read_bytes(), "the worker's own variables")
        found = environment.read_bytes().split(b"\0")
    finally:
        worker.close()
    assert b"OPENBLAS_NUM_THREADS=1" in found
    assert (b"MALLOC_MMAP_MAX_=0" in found) is (glibc_version() is not None)
