"""Where a body is read from: the connection's socket if the server offers it, otherwise ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from api.http.slow_clients import BodyTimeout
from api.intake.contract import BodyConsumer
from api.intake.socket_body import EXTENSION

BATCH_BYTES = 1 << 20


class BodySource(Protocol):
    """The body of a request; it can be read once."""

    async def read_into(self, consumer: BodyConsumer, timeout_s: float, threads: CapacityLimiter) -> None:
        """Read the body into a consumer, from its beginning to its end, in worker threads.

        Parameters
        ----------
        consumer
            What takes the body.
        timeout_s
            How long the client may send too little; see `BodyTimeout`.
        threads
            The threads that may work.

        Raises
        ------
        ClientStalled
            The client sent too little in `timeout_s` of waiting.
        """


def body_of(request: Request) -> BodySource:
    """Return the body of a request."""
    source: BodySource | None = request.scope.get("extensions", {}).get(EXTENSION)
    return source or StreamedBody(request.stream())


class StreamedBody:
    """A body in blocks, as any ASGI server delivers it."""

    def __init__(self, blocks: AsyncIterable[bytes]) -> None:
        self._blocks = blocks

    async def read_into(self, consumer: BodyConsumer, timeout_s: float, threads: CapacityLimiter) -> None:
        """Read the body into a consumer, in batches.

        Raises
        ------
        ClientStalled
        """
        if not await to_thread.run_sync(consumer.open, limiter=threads):
            await consumer.wait_until_free()
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
                        deadline.reschedule(None)  # only the client is timed, not the disk
                        await to_thread.run_sync(consumer.add, batch, limiter=threads)
                        batch, size = [], 0
                    deadline.reschedule(loop.time() + timeout.left_s())
                    began = time.monotonic()
        except TimeoutError as error:
            raise timeout.stalled() from error
        await to_thread.run_sync(_finish, consumer, batch, limiter=threads)


def _finish(consumer: BodyConsumer, batch: list[bytes]) -> None:
    consumer.add(batch)
    consumer.finish()
