"""Disk space that uploads were promised: how much counts against a new one, so that no token takes what all need.

A promise counts for `PROMISE_S` after something was last added to its upload, and ends sooner with the connections on
which the upload was declared and sent. The upload can be continued later too, as far as there is space then; what is
added to it then makes the promise anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select, update

from api.database.tables import now, upload_chunks, uploads
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import LimitReached, RateLimited, ReceiverFull

PROMISE_S = 120.0
"""How long, after something was last added to an upload, disk space is kept for the rest of it."""
END_AFTER_CLOSE_S = 10.0
"""How long after its upload's last connection closed a promise ends if no bytes came since.

Clients declare on one connection and send on others, and a proxy may open one for each request: the next bytes come on
another connection, and a client that was cut off connects again. A client that died does neither.
"""
MAX_UNFINISHED_UPLOADS = 10_000
"""How many uploads that are not committed one token may have, however old they are."""
RETRY_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class PromisedSpace:
    """What uploads that are being received have yet to receive, as one new upload sees it.

    Attributes
    ----------
    own_bytes
        All uploads of the same token together.
    largest_bytes
        The largest of these.
    other_bytes
        The uploads of all other tokens together.
    open_count
        How many uploads of more than one request the token has among them.
    alive_count
        How many uploads there are of all tokens.
    """

    own_bytes: int = 0
    largest_bytes: int = 0
    other_bytes: int = 0
    open_count: int = 0
    alive_count: int = 0

    def require_room(self, size_bytes: int, free_bytes: int) -> None:
        """Refuse a new upload of this token that does not fit.

        Of the free space, other tokens' promises count up to a half, so that no token can take it all. One upload of a
        token may have all that is left then, all further ones together at most half of what is free.

        Raises
        ------
        ReceiverFull
        """
        counted = min(self.other_bytes, free_bytes // 2)
        total = size_bytes + self.own_bytes
        further = total - max(size_bytes, self.largest_bytes)
        if total + counted <= free_bytes and further <= free_bytes // 2:
            return
        promised = self.own_bytes + counted
        others = f", of which other uploads need {promised}" if promised else ""
        raise ReceiverFull(
            f"the receiver has {free_bytes} bytes free for uploads{others}; this file needs {size_bytes}"
        )


@dataclass(frozen=True, slots=True)
class LeftUpload:
    """An upload whose connections are all closed, and since when."""

    id: UUID
    at: datetime

    @classmethod
    def by_now(cls, upload_id: UUID) -> Self:
        """Return an upload whose last connection has just closed."""
        return cls(upload_id, now())


NOTHING_PROMISED = PromisedSpace()

RequireSpace = Callable[[int, PromisedSpace], None]
"""Refuses a new upload that does not fit, given its size and what uploads were promised."""

_CHUNK_COUNT = (
    select(func.count()).where(upload_chunks.c.upload_id == uploads.c.id).correlate(uploads).scalar_subquery()
)
# Not grouped by upload: SQLite would read the uploads in the order of their ids, and not by the index of the time.
_ALIVE = select(uploads.c.token_id, uploads.c.size_bytes, uploads.c.one_request, _CHUNK_COUNT).where(
    uploads.c.touched_at > bindparam("since"), uploads.c.promise_ended_at.is_(None)
)
_END = (
    update(uploads)
    .where(uploads.c.id == bindparam("left_id"), uploads.c.touched_at <= bindparam("at"))
    .values(promise_ended_at=bindparam("at"))
)
_UNFINISHED = select(func.count()).where(uploads.c.token_id == bindparam("token_id"))


def promised_space(connection: Connection, token_id: str | None) -> PromisedSpace:
    """Return what uploads have yet to receive whose promise has not ended.

    Parameters
    ----------
    token_id
        Of the token that declares a new upload. Uploads of which no token is known count as others.
    """
    own: list[int] = []
    other_bytes = open_count = alive_count = 0
    alive = connection.execute(_ALIVE, {"since": now() - timedelta(seconds=PROMISE_S)})
    for owner, size_bytes, one_request, chunk_count in alive:
        alive_count += 1
        left_bytes = max(0, size_bytes - chunk_count * CHUNK_BYTES)  # a last chunk counts as whole, if short too
        if token_id is None or owner != token_id:
            other_bytes += left_bytes
        else:
            own.append(left_bytes)
            open_count += not one_request
    return PromisedSpace(sum(own), max(own, default=0), other_bytes, open_count, alive_count)


def end_promises(connection: Connection, left: Sequence[LeftUpload]) -> None:
    """End the promises of uploads to which nothing was added since their last connection closed."""
    if left:
        connection.execute(_END, [{"left_id": one.id, "at": one.at} for one in left])


def promised_in_all(connection: Connection) -> tuple[int, int]:
    """Return how many uploads have a promise, and what they have yet to receive in bytes."""
    promised = promised_space(connection, None)
    return promised.alive_count, promised.other_bytes


def require_few_open(
    connection: Connection, token_id: str | None, promised: PromisedSpace, max_open_uploads: int
) -> None:
    """Refuse one more upload in parts to a token that has too many.

    Parameters
    ----------
    max_open_uploads
        How many it may have whose promise has not ended.

    Raises
    ------
    RateLimited, LimitReached
    """
    if promised.open_count >= max_open_uploads:
        busy = RateLimited(
            f"this token has {promised.open_count} uploads in progress, a token has at most {max_open_uploads}",
            hint=f"Commit or withdraw some. One that gets no bytes does not count after {PROMISE_S:g} s, or "
            f"{END_AFTER_CLOSE_S:g} s after its client closed its connections.",
        )
        busy.retry_after_s = RETRY_AFTER_S
        raise busy
    unfinished = connection.scalar(_UNFINISHED, {"token_id": token_id}) or 0
    if unfinished >= MAX_UNFINISHED_UPLOADS:
        raise LimitReached(
            f"this token has {unfinished} uploads that are not committed, a token has at most {MAX_UNFINISHED_UPLOADS}",
            hint="Commit or withdraw some. The receiver deletes one that got no bytes for long (--upload-expiry).",
        )
