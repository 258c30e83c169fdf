"""Reads the bodies of requests that carry no file: bounded in size, in time, and in memory over all requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from api.http.json_values import JsonRequest
from transfer.wire.errors import ClientStalled, ReceiverBusy, TooLarge

MAX_BYTES = 4 << 20
SMALL_BYTES = 64 << 10


class ControlBodies:
    """Reads bodies, each within `timeout_s`.

    All bodies above `SMALL_BYTES` together hold at most `max_large_bytes` of memory. A request that would need more is
    answered "busy", and its client tries again.
    """

    def __init__(self, timeout_s: float, max_large_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_large_bytes = max_large_bytes
        self._large_bytes = 0  # of the bodies above SMALL_BYTES that are being read or answered

    @asynccontextmanager
    async def read(self, request: Request, max_bytes: int) -> AsyncIterator[JsonRequest]:
        """Hand out the request with its whole body, for as long as the body is needed.

        Raises
        ------
        TooLarge
            The body has more than `max_bytes`.
        ClientStalled, ClientDisconnect, ReceiverBusy
        """
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._read(request, body, max_bytes)
            except TimeoutError as error:
                raise ClientStalled from error
            yield JsonRequest(request.scope, _replay(bytes(body), request.receive))
        finally:
            self._large_bytes -= _large(body)

    async def _read(self, request: Request, body: bytearray, max_bytes: int) -> None:
        announced = request.headers.get("Content-Length", "")
        if announced.isdecimal() and len(announced) < 20:
            _require_size(int(announced), max_bytes)
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            before = _large(body)
            body += message.get("body", b"")
            self._large_bytes += _large(body) - before
            _require_size(len(body), max_bytes)
            if _large(body) and self._large_bytes > self._max_large_bytes:
                raise ReceiverBusy("the receiver handles too many large requests at this moment")
            if not message.get("more_body", False):
                return


def _require_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise TooLarge(
            f"the body of this request has more than the {max_bytes} bytes that are accepted here",
            hint="Send less in one request. Files go to /v1/files and /v1/uploads.",
        )


def _large(body: bytearray) -> int:
    return len(body) if len(body) > SMALL_BYTES else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
