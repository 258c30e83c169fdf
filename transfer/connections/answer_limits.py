"""Limits of one answer: its bytes, after decompression too, and the time until it is complete.

A receiver's answers stay far below them. What exceeds one comes from something else, and must neither fill the memory
nor hold a request for ever.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator

ONE_BYTES = 1 << 20
"""Of an answer about one thing, of an error, and of an answer to a request with chunks."""
PAGE_BYTES = 4 << 20
"""Of one page of a list. A receiver sends at most 1000 entries in one."""
SESSIONS_BYTES = 5 << 20
"""Of a page of sessions: older receivers send all in one. About 14,000 sessions, and 160 MB of memory at the worst."""
RECORDS_BYTES = 8 << 20
"""Of a page of records: older receivers count them, and not their bytes."""
HEAD_BYTES = 1 << 18
"""Of all that comes before a body."""

_PIECE_BYTES = 1 << 16


class AnswerRefused(Exception):
    """An answer is longer, or takes longer, than any answer of a receiver."""


class AnswerBudget:
    """What an answer, or a part of it, may still take; the time runs from now on.

    Parameters
    ----------
    most_bytes
        How many bytes it may have.
    longest_s
        How long it may take, in s.
    clock
        Returns the monotonic time in s.
    """

    def __init__(self, most_bytes: int, longest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes, self._longest_s, self._clock = most_bytes, longest_s, clock
        self._bytes = 0
        self._until_s = clock() + longest_s

    @property
    def has_begun(self) -> bool:
        """Whether a byte has arrived."""
        return self._bytes > 0

    def spend(self, count: int) -> None:
        """Count bytes that arrived.

        Raises
        ------
        AnswerRefused
            These are too many, or the time is over.
        """
        self._bytes += count
        if self._bytes > self._most_bytes:
            raise AnswerRefused(f"the answer has more than {self._most_bytes:,} bytes")
        self.left_s()

    def left_s(self) -> float:
        """Return how much time is left, in s.

        Raises
        ------
        AnswerRefused
            None.
        """
        left_s = self._until_s - self._clock()
        if left_s <= 0:
            raise AnswerRefused(f"the answer was not complete after {self._longest_s:g} s")
        return left_s


def whole_body(raw: Iterable[bytes], coding: str, most_bytes: int, longest_s: float) -> bytes:
    """Return a body that arrives in pieces, decoded; neither form of it may have more than `most_bytes`.

    Parameters
    ----------
    raw
        Its bytes as they are on the network.
    coding
        What the answer has as Content-Encoding; empty without one.

    Raises
    ------
    AnswerRefused
        It is too long, takes too long, or is coded in another way than it was asked for.
    """
    arriving, decoded, body = AnswerBudget(most_bytes, longest_s), AnswerBudget(most_bytes, longest_s), bytearray()
    for piece in _decoded(_counted(raw, arriving), coding.strip().lower()):
        decoded.spend(len(piece))
        body += piece
    return bytes(body)


def _counted(raw: Iterable[bytes], budget: AnswerBudget) -> Iterator[bytes]:
    for piece in raw:
        budget.spend(len(piece))
        yield piece


def _decoded(raw: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Yield a body in pieces of limited length: a few bytes of gzip can hold a great many."""
    if coding in ("", "identity"):
        yield from raw
        return
    if coding not in ("gzip", "x-gzip"):
        raise AnswerRefused(f"the answer is coded as {coding[:20]!r}, which was not asked for")
    gzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for piece in raw:
        rest = piece
        while rest and not gzip.eof:
            try:
                yield gzip.decompress(rest, _PIECE_BYTES)
            except zlib.error as error:
                raise AnswerRefused(f"the answer is not the gzip that it says it is ({error})") from error
            rest = gzip.unconsumed_tail
    if not gzip.eof:
        raise AnswerRefused("the answer is not the gzip that it says it is (its end is missing)")
