"""Chunks cover a file exactly once; what is missing is what is not present."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.wire.chunks import CHUNK_BYTES, missing_ranges, split

SIZES = st.integers(0, 5000)
CHUNKS = st.integers(1, 700)


@pytest.mark.parametrize(
    ("size_bytes", "lengths"),
    [
        (0, []),
        (1, [1]),
        (CHUNK_BYTES - 1, [CHUNK_BYTES - 1]),
        (CHUNK_BYTES, [CHUNK_BYTES]),
        (CHUNK_BYTES + 1, [CHUNK_BYTES, 1]),
        (2 * CHUNK_BYTES, [CHUNK_BYTES, CHUNK_BYTES]),
    ],
)
def test_split_at_the_edges(size_bytes, lengths):
    assert [len(chunk) for chunk in split(size_bytes)] == lengths


@settings(deadline=None)
@given(SIZES, CHUNKS)
def test_chunks_cover_the_file_without_gap_or_overlap(size_bytes, chunk_bytes):
    covered = [byte for chunk in split(size_bytes, chunk_bytes) for byte in chunk]
    assert covered == list(range(size_bytes))
    assert all(chunk.start % chunk_bytes == 0 for chunk in split(size_bytes, chunk_bytes))


@settings(deadline=None)
@given(SIZES, CHUNKS, st.sets(st.integers(0, 40)))
def test_missing_ranges_are_the_rest_and_neighbours_are_joined(size_bytes, chunk_bytes, present):
    missing = missing_ranges(present, size_bytes, chunk_bytes)
    chunks = split(size_bytes, chunk_bytes)
    expected = {byte for index, chunk in enumerate(chunks) if index not in present for byte in chunk}
    assert [byte for part in missing for byte in part] == sorted(expected)
    assert all(left.stop < right.start for left, right in pairwise(missing))
