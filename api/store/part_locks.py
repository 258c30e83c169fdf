"""Locks on the bytes of part files: of two requests for the same bytes, one waits, in whatever process it is."""

from __future__ import annotations

import asyncio
import time

from transfer.disk import try_lock_span
from transfer.wire.errors import ReceiverBusy

LOCK_WAIT_S = 5.0
_LOCK_POLL_S = 0.02


_BUSY = "another request is writing the same bytes"


async def lock_span(fd: int, span: range | None) -> None:
    """Wait for the lock of some bytes of a part file; closing the descriptor releases it.

    Raises
    ------
    ReceiverBusy
        Another request keeps it.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while not try_lock_span(fd, span):
        if time.monotonic() > deadline:
            raise ReceiverBusy(_BUSY)
        await asyncio.sleep(_LOCK_POLL_S)


def lock_whole(fd: int, *, wait_s: float = LOCK_WAIT_S) -> None:
    """Wait, in a thread, for the lock of a whole part file; closing the descriptor releases it.

    Raises
    ------
    ReceiverBusy
        Another request keeps it.
    """
    deadline = time.monotonic() + wait_s
    while not try_lock_span(fd, None):
        if time.monotonic() >= deadline:
            raise ReceiverBusy(_BUSY)
        time.sleep(_LOCK_POLL_S)
