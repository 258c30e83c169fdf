"""Locks bytes of part files: if two requests write the same bytes, one waits for the other, also in another process."""

from __future__ import annotations

import asyncio
import time

from transfer.disk.locks import try_lock_span
from transfer.wire.errors import ReceiverBusy

LOCK_WAIT_S = 5.0
_LOCK_POLL_S = 0.02
_BUSY = "another request is writing the same bytes"


async def lock_span(fd: int, span: range | None) -> None:
    """Wait for the lock of some bytes of a part file (None: all of them). Closing the descriptor frees it.

    Raises
    ------
    ReceiverBusy
        Another request still holds it after `LOCK_WAIT_S`.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while not try_lock_span(fd, span):
        if time.monotonic() > deadline:
            raise ReceiverBusy(_BUSY)
        await asyncio.sleep(_LOCK_POLL_S)


def lock_whole(fd: int, *, wait_s: float = LOCK_WAIT_S) -> None:
    """Wait, in a thread, for the lock of a whole part file. Closing the descriptor frees it.

    Raises
    ------
    ReceiverBusy
        Another request still holds it after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while not try_lock_span(fd, None):
        if time.monotonic() >= deadline:
            raise ReceiverBusy(_BUSY)
        time.sleep(_LOCK_POLL_S)
