"""What one answer may take: its bytes, coded and decoded, and its time."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator

import pytest
from raw_server import gzip_bomb

from transfer.connections.answer_limits import AnswerBudget, AnswerRefused, whole_body

TEXT = b'{"text": "' + os.urandom(100_000).hex().encode() + b'"}'


def in_pieces(data: bytes, size_bytes: int = 1000) -> Iterator[bytes]:
    return (data[start : start + size_bytes] for start in range(0, len(data), size_bytes))


@pytest.mark.parametrize("coding", ["", "identity", "gzip", " X-GZIP"])
def test_a_body_within_its_limits_is_returned_decoded(coding: str) -> None:
    sent = gzip.compress(TEXT) if "gz" in coding.lower() else TEXT
    assert whole_body(in_pieces(sent), coding, len(TEXT), 60) == TEXT
    with pytest.raises(AnswerRefused, match=f"more than {len(TEXT) - 1:,} bytes"):
        whole_body(in_pieces(sent), coding, len(TEXT) - 1, 60)


@pytest.mark.parametrize(
    ("sent", "coding", "reason"),
    [
        (gzip.compress(TEXT)[:-5], "gzip", "its end is missing"), (b"no gzip", "gzip", "not the gzip"),
        (b"", "gzip", "its end is missing"), (TEXT, "zstd", "'zstd', which was not asked for"),
        (TEXT, "gzip, gzip", "not asked for"),
    ],
)  # fmt: skip
def test_what_is_not_coded_as_it_says_is_refused(sent: bytes, coding: str, reason: str) -> None:
    with pytest.raises(AnswerRefused, match=reason):
        whole_body(in_pieces(sent), coding, 1 << 20, 60)


def test_a_bomb_is_decoded_only_up_to_the_limit() -> None:
    taken = 0

    def bomb() -> Iterator[bytes]:
        nonlocal taken
        first, block = gzip_bomb()
        yield first
        for _ in range(10_000):
            taken += len(block)
            yield block

    with pytest.raises(AnswerRefused, match="more than 4,000,000 bytes"):
        whole_body(bomb(), "gzip", 4_000_000, 60)
    assert taken < 10_000


def test_the_time_counts_from_the_beginning() -> None:
    now_s = 100.0
    budget = AnswerBudget(10, 5.0, lambda: now_s)
    budget.spend(10)
    now_s = 104.0
    assert budget.left_s() == 1.0
    now_s = 105.0
    with pytest.raises(AnswerRefused, match="not complete after 5 s"):
        budget.left_s()
