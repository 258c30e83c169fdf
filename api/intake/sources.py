"""Where a body is read from: the connection's socket if the server offers it, otherwise ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable
from typing import Protocol

from fastapi import Request

from api.http.slow_clients import BodyTimeout
from api.intake.contract import BodyConsumer, IntakeResources
from api.intake.socket_body import EXTENSION


class BodySource(Protocol):
    """The body of a request; it can be read once."""

    async def read_into(self, consumer: BodyConsumer, resources: IntakeResources) -> None:
        """Read the body into a consumer, from its beginning to its end, in worker threads.

        Parameters
        ----------
        consumer
            What takes the body.
        resources
            The threads that may work, and how long the client may send too little; see `BodyTimeout`.

        Raises
        ------
        ClientStalled
            The client sent too little in the time that it has.
        """


def body_of(request: Request) -> BodySource:
    """Return the body of a request."""
    source: BodySource | None = request.scope.get("extensions", {}).get(EXTENSION)
    return source or StreamedBody(request.stream())


class StreamedBody:
    """A body in blocks, as any ASGI server delivers it."""

    def __init__(self, blocks: AsyncIterable[bytes]) -> None:
        self._blocks = blocks

    async def read_into(self, consumer: BodyConsumer, resources: IntakeResources) -> None:
        """Read the body into a consumer, in batches.

        Raises
        ------
        ClientStalled
        """
        with resources.batches.body():
            await self._read(consumer, resources)

    async def _read(self, consumer: BodyConsumer, resources: IntakeResources) -> None:
        threads, timeout_s = resources.threads, resources.body_timeout_s
        if not await threads.run(consumer.open):
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
                    if size >= resources.batches.batch_bytes:
                        deadline.reschedule(None)  # only the client is timed, not the disk
                        await threads.run(consumer.add, batch)
                        batch, size = [], 0
                    deadline.reschedule(loop.time() + timeout.left_s())
                    began = time.monotonic()
        except TimeoutError as error:
            raise timeout.stalled() from error
        await threads.run(_finish, consumer, batch)


def _finish(consumer: BodyConsumer, batch: list[bytes]) -> None:
    consumer.add(batch)
    consumer.finish()
