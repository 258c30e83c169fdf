"""Bounds the requests whose body is read whole before anything looks at it: in size and in time."""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer_of
from transfer.errors import ClientStalled, TooLarge, TransferError

MAX_BYTES = 4 << 20
_STREAMED = re.compile(r"/v1/(files/.*|uploads/[^/]+/content)", re.DOTALL)


class ControlBodies:
    """ASGI middleware: JSON bodies have at most `MAX_BYTES`, and come within `timeout_s`.

    Bodies that carry files are left alone; their routes bound them by their own rules.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection or request."""
        if scope["type"] != "http" or _STREAMED.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await _read(receive)
        except TimeoutError:
            await answer_of(ClientStalled())(scope, receive, send)
        except TransferError as error:
            await answer_of(error)(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replay(body, receive), send)


async def _read(receive: Receive) -> bytes | None:
    """Return a request's body; None when the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BYTES:
            raise TooLarge(f"a request of this kind has at most {MAX_BYTES} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
