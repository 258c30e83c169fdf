from __future__ import annotations

import threading

import numpy as np
import pytest

from preprocess.backends.cpu.row_threads import RowThreads


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("rows", "unit"), [(0, 1), (1, 1), (7, 16), (100, 1), (101, 16)])
def test_every_row_is_worked_on_once_in_chunks_of_whole_units(threads: int, rows: int, unit: int) -> None:
    times, chunks = np.zeros(rows, int), list[tuple[int, int]]()

    def kernel(start: int, stop: int) -> None:
        times[start:stop] += 1
        chunks.append((start, stop))

    RowThreads(threads).run(kernel, rows=rows, unit=unit)
    assert (times == 1).all()
    assert all(start % unit == 0 and (stop % unit == 0 or stop == rows) for start, stop in chunks)


def test_all_threads_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=60)

    def kernel(_start: int, _stop: int) -> None:
        together.wait()

    RowThreads(3).run(kernel, rows=12)
    assert not together.broken


def test_an_error_on_any_row_is_raised_when_no_thread_works_any_more() -> None:
    at_work, least = set[int](), threading.Barrier(2, timeout=60)

    def kernel(start: int, _stop: int) -> None:
        at_work.add(start)
        if start < 2:
            least.wait()  # the first two chunks are in two threads
        at_work.discard(start)
        if start == failing:
            raise ValueError(f"row {start}")

    threads = RowThreads(2)
    for failing in (0, 1):
        with pytest.raises(ValueError, match=f"row {failing}"):
            threads.run(kernel, rows=8)
        assert not at_work
