"""Header fields: what is written is read back, and what contradicts itself is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.wire.errors import BadRange, BadRequest
from transfer.wire.header_fields import (
    format_content_range,
    format_etag,
    format_range,
    parse_content_range,
    parse_range,
    parse_retry_after,
)


@given(st.integers(0, 10**15), st.integers(1, 10**9), st.integers(0, 10**12))
def test_content_range_round_trip(start, length, rest):
    chunk, size_bytes = range(start, start + length), start + length + rest
    assert parse_content_range(format_content_range(chunk, size_bytes)) == (chunk, size_bytes)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "bytes",
        "bytes 0-9",
        "bytes 0-9/*",
        "bytes */10",
        "bytes 9-0/10",
        "bytes 0-10/10",
        "bytes -1-5/10",
        "bytes 0-9/10, 10-11/12",
        "bits 0-9/10",
        "bytes 0 - 9/10",
        "bytes 0-9/" + "9" * 20,
        "bytes \u0660-\u0669/\u0661\u0660",
    ],
)
def test_a_range_that_lies_is_refused(field):
    with pytest.raises(BadRequest):
        parse_content_range(field)


@given(st.integers(0, 10**15), st.integers(1, 10**9), st.integers(0, 10**12))
def test_range_round_trip(start, length, rest):
    assert parse_range(format_range(range(start, start + length)), start + length + rest) == range(
        start, start + length
    )


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=2-4", range(2, 5)),
        (" bytes=2-4 ", range(2, 5)),
        ("bytes=2-", range(2, 10)),
        ("bytes=2-99", range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(10)),
        *((field, None) for field in ("", "bytes=-", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b")),
    ],
)
def test_one_range_of_bytes_is_read_and_anything_else_means_the_whole_file(field, expected):
    assert parse_range(field, 10) == expected


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_without_any_byte_of_the_file_is_refused(field):
    with pytest.raises(BadRange):
        parse_range(field, 10)


def test_an_etag_is_quoted():
    assert format_etag("0f") == '"0f"'


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_retry_after_may_be_a_date(zone):
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert parse_retry_after(f"Tue, 24 Nov 2026 12:01:30 {zone}", now) == 90
