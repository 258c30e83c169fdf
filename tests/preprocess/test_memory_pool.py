"""Large arrays lie in memory that is kept, never in each other's."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.memory_pool import SMALLEST_BYTES, MemoryPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux alone")
MIB = 1 << 20


def address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def taken_bytes() -> int:
    """Return how much memory of its own this process has."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


def test_the_next_array_takes_what_another_has_left() -> None:
    pool = MemoryPool(64 * MIB)
    first = pool.empty((2, MIB), np.float32)
    second = pool.empty((MIB,), np.float32)
    place, other = address(first), address(second)
    assert other >= place + first.nbytes
    assert pool.kept_bytes() == 0
    del first
    assert pool.kept_bytes() == 8 * MIB
    assert address(pool.empty((MIB, 2), np.float32)) == place
    assert address(pool.empty((4 * MIB,), np.float32)) > other  # it does not fit before the second
    assert second.flags.writeable


def test_a_view_keeps_its_array() -> None:
    pool = MemoryPool(64 * MIB)
    array = pool.empty((4, MIB), np.uint8)
    array[...] = 7
    views = [array[1:2].reshape(-1)[5:], array.view(np.int8)[3], list(array)[2]]
    del array
    others = pool.empty((4, MIB), np.uint8)
    others[...] = 1
    assert all((view == 7).all() for view in views)
    del others
    views.clear()
    assert pool.kept_bytes() >= 8 * MIB


def test_arrays_never_lie_in_each_other() -> None:
    """Random arrays come and go in several threads, each filled with a number of its own."""
    pool, wrong = MemoryPool(256 * MIB), []

    def come_and_go(seed: int) -> None:
        random, held = np.random.default_rng(seed), list[tuple[int, NDArray[Any]]]()
        for number in range(120):
            array = pool.empty((int(random.integers(SMALLEST_BYTES, 3 * MIB)),), np.uint8, brief=random.random() < 0.3)
            array[:: 4096 // 2] = value = (60 * seed + number) % 251
            held.append((value, array))
            if len(held) > 5:
                expected, gone = held.pop(int(random.integers(len(held))))
                if not (gone[:: 4096 // 2] == expected).all():
                    wrong.append(number)

    threads = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.kept_bytes() > 0


def test_a_brief_array_leaves_no_gap() -> None:
    pool = MemoryPool(64 * MIB)
    lasting = pool.empty((4 * MIB,), np.uint8)
    del_me = pool.empty((16 * MIB,), np.uint8)
    end = address(del_me) + del_me.nbytes
    del del_me
    brief = pool.empty((4 * MIB,), np.uint8, brief=True)
    assert address(brief) + brief.nbytes == end
    assert address(pool.empty((2 * MIB,), np.uint8)) == address(lasting) + lasting.nbytes
    elsewhere = pool.empty((4 * MIB,), np.uint8, brief=True)  # the end is taken
    assert not address(lasting) <= address(elsewhere) < end


def test_memory_is_given_back_except_what_arrays_lie_in() -> None:
    pool = MemoryPool(512 * MIB)
    first, lasting = pool.empty((128 * MIB,), np.uint8), pool.empty((5 * MIB + 77,), np.uint8)
    last = pool.empty((128 * MIB,), np.uint8)
    for array in (first, lasting, last):
        array[...] = 3
    del first, last, array
    before = taken_bytes()
    pool.give_back()
    assert before - taken_bytes() > 250 * MIB
    assert (lasting == 3).all()
    assert pool.kept_bytes() < 129 * MIB  # the gap before it counts, although it is empty
    del lasting
    pool.give_back()
    assert pool.kept_bytes() == 0
    assert (pool.empty((2 * MIB,), np.uint8) == 0).all()


def test_what_is_small_or_does_not_fit_is_left_to_numpy() -> None:
    pool = MemoryPool(8 * MIB)
    small, large = pool.empty((SMALLEST_BYTES - 1,), np.uint8), pool.empty((9 * MIB,), np.uint8)
    assert small.base is None
    assert large.base is None
    assert pool.empty((0, 5), np.float32).shape == (0, 5)
    nothing_kept = MemoryPool(0)
    assert nothing_kept.empty((2 * MIB,), np.uint8).base is None
    nothing_kept.give_back()
    assert nothing_kept.kept_bytes() == 0


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))
from preprocess.memory_pool import pool_of_process
array = pool_of_process().empty((1 << 22,), "uint8")
print(array.base is None)
"""


def test_no_addresses_are_reserved_where_they_are_limited() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_no_addresses_are_reserved_where_they_count_as_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "overcommit_memory"
    monkeypatch.setattr("preprocess.platform._OVERCOMMIT", setting)
    for text, is_reserved in (("0\n", True), ("1\n", True), ("2\n", False)):
        setting.write_text(text, "ascii")
        assert (MemoryPool(64 * MIB).empty((4 * MIB,), np.uint8).base is not None) == is_reserved
    setting.unlink()
    assert MemoryPool(64 * MIB).empty((4 * MIB,), np.uint8).base is not None
