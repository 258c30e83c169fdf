"""Where a file's body comes from: straight from the socket where the server offers it, else through ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from api.http.slow_clients import BodyTimeout
from api.intake.contract import BodyTaker
from api.intake.socket_source import EXTENSION

BATCH_BYTES = 1 << 20


class BodySource(Protocol):
    """A request's body, to be taken once."""

    async def pour(self, taker: BodyTaker, timeout_s: float, threads: CapacityLimiter) -> None:
        """Hand the body to a taker, from its beginning to its end, in worker threads.

        Raises
        ------
        ClientStalled
            Too little came in `timeout_s` of waiting.
        """


def body_of(request: Request) -> BodySource:
    """Return a request's body."""
    source: BodySource | None = request.scope.get("extensions", {}).get(EXTENSION)
    return source or StreamedBody(request.stream())


class StreamedBody:
    """A body in blocks, as any ASGI server hands it out."""

    def __init__(self, blocks: AsyncIterable[bytes]) -> None:
        self._blocks = blocks

    async def pour(self, taker: BodyTaker, timeout_s: float, threads: CapacityLimiter) -> None:
        """Hand the body to a taker, batch by batch.

        Raises
        ------
        ClientStalled
        """
        if not await to_thread.run_sync(taker.begin, limiter=threads):
            await taker.ready()
        timeout, loop = BodyTimeout(timeout_s), asyncio.get_running_loop()
        batch: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                began = time.monotonic()
                async for block in self._blocks:
                    timeout.note(len(block), time.monotonic() - began)
                    batch.append(block)
                    size += len(block)
                    if size >= BATCH_BYTES:
                        deadline.reschedule(None)  # the disk may be slow; only the client is timed
                        await to_thread.run_sync(taker.add, batch, limiter=threads)
                        batch, size = [], 0
                    deadline.reschedule(loop.time() + timeout.left_s())
                    began = time.monotonic()
        except TimeoutError as error:
            raise timeout.stalled() from error
        await to_thread.run_sync(_finish, taker, batch, limiter=threads)


def _finish(taker: BodyTaker, batch: list[bytes]) -> None:
    taker.add(batch)
    taker.end()
