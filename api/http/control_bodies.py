"""Bounds the requests whose body is read whole before anything looks at it: in size and in time."""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import answer_of
from transfer.wire.errors import ClientStalled, ReceiverBusy, TooLarge, TransferError

MAX_BYTES = 4 << 20
SMALL_BYTES = 64 << 10
MAX_LARGE_BYTES = 64 << 20
_STREAMED = re.compile(r"/v1/(files/.*|uploads/[^/]+/content)", re.DOTALL)


class ControlBodies:
    """ASGI middleware: JSON bodies have at most `MAX_BYTES`, and come within `timeout_s`.

    They are read before anybody asked for a token, so all bodies above `SMALL_BYTES` together hold at most
    `MAX_LARGE_BYTES` of memory; whoever would need more is told to come back. Bodies that carry files are left alone;
    their routes bound them by their own rules.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._large_bytes = 0  # of the bodies above SMALL_BYTES that are being read or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection or request."""
        if scope["type"] != "http" or _STREAMED.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                whole = await self._read(receive, body)
        except TimeoutError:
            await answer_of(ClientStalled())(scope, receive, send)
        except TransferError as error:
            await answer_of(error)(scope, receive, send)
        else:
            if whole:
                await self._app(scope, _replay(bytes(body), receive), send)
        finally:
            self._large_bytes -= _large(body)

    async def _read(self, receive: Receive, body: bytearray) -> bool:
        """Fill in a request's body; return False when the client left before its end."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            before = _large(body)
            body += message.get("body", b"")
            self._large_bytes += _large(body) - before
            if len(body) > MAX_BYTES:
                raise TooLarge(f"a request of this kind has at most {MAX_BYTES} bytes")
            if _large(body) and self._large_bytes > MAX_LARGE_BYTES:
                raise ReceiverBusy("too many large requests at once")
            if not message.get("more_body", False):
                return True


def _large(body: bytearray) -> int:
    return len(body) if len(body) > SMALL_BYTES else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
