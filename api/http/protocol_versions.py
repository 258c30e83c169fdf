"""Marks the receiver's answers, and refuses requests that name a version of the protocol which it does not speak."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import answer_of
from transfer.wire.errors import BadRequest, TransferError
from transfer.wire.protocol import H_PROTOCOL, SERVICE
from transfer.wire.versions import SpokenVersions, mismatch

_HEADER = H_PROTOCOL.lower().encode("ascii")
_SOFTWARE = re.compile(rb"cryoferry/([\w.+!-]{1,50})", re.ASCII)


class ProtocolVersions:
    """ASGI middleware: a request that names a version gets an answer only if the receiver speaks that version.

    Each answer names the newest version that the receiver speaks: clients know by it that the answer is the receiver's.
    A request that names none is judged by its content. `GET /v1/service` is answered always: by its answer a client
    chooses the version.
    """

    def __init__(self, app: ASGIApp, spoken: SpokenVersions) -> None:
        self._app = app
        self._spoken = spoken
        self._mark = str(spoken.newest).encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection or request."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_HEADER, self._mark)]
            await send(message)

        refusal = self._refusal(dict(scope["headers"])) if scope["type"] == "http" else None
        if refusal is not None and scope["path"] != SERVICE:
            await answer_of(refusal)(scope, receive, send_marked)
        else:
            await self._app(scope, receive, send_marked)

    def _refusal(self, headers: dict[bytes, bytes]) -> TransferError | None:
        named = headers.get(_HEADER)
        if named is None:
            return None
        if not re.fullmatch(rb"[0-9]{1,6}", named):
            return BadRequest(f"{H_PROTOCOL} is not a version number")
        version = int(named)
        if self._spoken.oldest <= version <= self._spoken.newest:
            return None
        software = _SOFTWARE.match(headers.get(b"user-agent", b""))
        client = software[1].decode("ascii") if software else "of unknown version"
        return mismatch(SpokenVersions(client, version, version), self._spoken)
