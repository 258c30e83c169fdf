"""Writes and reads header fields with a structure: ranges of bytes, ETag, Retry-After."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from transfer.wire.errors import BadRange, BadRequest

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


def format_content_range(chunk: range, size_bytes: int) -> str:
    """Return a Content-Range field value for a non-empty range."""
    return f"bytes {chunk.start}-{chunk.stop - 1}/{size_bytes}"


def parse_content_range(value: str) -> tuple[range, int]:
    """Return (bytes, total size) of a Content-Range field.

    Raises
    ------
    BadRequest
        It is malformed, or its end is before its beginning or beyond the total.
    """
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if not match:
        raise BadRequest(f"Content-Range {value!r} is not `bytes FIRST-LAST/TOTAL`")
    first, last, total = map(int, match.groups())
    if not first <= last < total:
        raise BadRequest(f"Content-Range {value!r} contradicts itself")
    return range(first, last + 1), total


_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


def format_range(span: range) -> str:
    """Return a Range field value for a non-empty range of bytes."""
    return f"bytes={span.start}-{span.stop - 1}"


def format_etag(digest: str) -> str:
    """Return the ETag of a file with this root digest."""
    return f'"{digest}"'


def parse_range(value: str, size_bytes: int) -> range | None:
    """Return the bytes that a Range field asks for.

    None means the whole file: the field is anything else than one range of bytes (RFC 9110, section 14.2).

    Raises
    ------
    BadRange
        The file has none of these bytes.
    """
    match = _RANGE.fullmatch(value.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        span = range(max(0, size_bytes - int(last)), size_bytes)
    elif last and int(last) < int(first):
        return None
    else:
        span = range(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if not span:
        raise BadRange(f"{value} asks for nothing of {size_bytes} bytes", hint="Ask for bytes that the file has.")
    return span


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Return the time in s that a Retry-After field asks for: seconds, or an HTTP date; None if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if until.tzinfo is None:  # "-0000": a date without a zone; HTTP's are all GMT
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
