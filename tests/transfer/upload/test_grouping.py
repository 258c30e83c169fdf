"""How many neighbouring chunks share a request, and which they are."""

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.upload.grouping import ChunkGrouping, GroupingLimits, take_run

FAST = 100.0
LIMITS = GroupingLimits(most_chunks=4, least_bytes_per_s=FAST)


@pytest.mark.parametrize(
    ("waiting", "connections", "expected"),
    [(0, 1, 1), (1, 1, 1), (3, 1, 3), (4, 1, 4), (100, 1, 4), (7, 4, 1), (8, 4, 2), (15, 4, 3), (100, 200, 1)],
)
def test_no_connection_is_left_without_chunks(waiting: int, connections: int, expected: int) -> None:
    grouping = ChunkGrouping(LIMITS)
    grouping.add(range(waiting))
    assert grouping.chunks_per_request(FAST, connections) == expected


def test_on_a_slow_link_a_request_is_one_chunk() -> None:
    grouping = ChunkGrouping(LIMITS)
    grouping.add(range(100))
    assert grouping.chunks_per_request(FAST - 1, 1) == 1


def test_the_chunks_of_all_uploads_count_while_they_wait() -> None:
    grouping, one, other = ChunkGrouping(LIMITS), deque([0, 1]), deque([0, 1])
    grouping.add(one)
    grouping.add(other)
    assert grouping.chunks_per_request(FAST, 2) == 2
    one.popleft()
    other.popleft()
    assert grouping.chunks_per_request(FAST, 1) == 2
    grouping.remove(one)  # the other one is equal and stays
    assert one == other
    assert grouping.chunks_per_request(FAST, 1) == 1
    other.extend([2, 3])
    assert grouping.chunks_per_request(FAST, 1) == 3


@settings(deadline=None)
@given(st.sets(st.integers(0, 40)), st.integers(1, 6))
def test_runs_are_taken_in_order_without_gaps_and_of_a_bounded_length(indices, at_most):
    waiting, runs = deque(sorted(indices)), []
    while run := take_run(waiting, at_most):
        runs.append(run)
    assert [index for run in runs for index in run] == sorted(indices)
    assert all(len(run) <= at_most for run in runs)
    assert all(len(left) == at_most or left.stop < right.start for left, right in pairwise(runs))
