"""What stands before every request: who sent it, whether it is answered, and what was refused."""

from __future__ import annotations

import logging
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.client_addresses import ClientAddresses
from api.http.connections import ConnectionLimits, Connections
from api.http.event_lines import EventLines
from api.http.problems import answer_of
from api.http.refusals import RefusalCounts
from api.http.request_rates import RequestLimits, RequestRates
from api.http.request_turns import RequestTurns
from transfer.wire.errors import BadValue, RateLimited

FRONT = "front"
"""Under this name the application's lifespan state holds its `Front`, for the protocol of each connection."""


_COUNTED_BY_ITS_PROTOCOL = "Invalid HTTP request received."


class ProtocolLogger(logging.Logger):
    """uvicorn's logger for one application: counts malformed requests instead of logging each of them."""

    def __init__(self, refusals: RefusalCounts) -> None:
        super().__init__("uvicorn.error.connections", logging.INFO)
        self.parent = logging.getLogger("uvicorn.error")
        self._refusals = refusals

    def warning(self, msg: object, *_args: object, **_options: Any) -> None:
        """Count what uvicorn warns of, which is always a client's fault."""
        if msg != _COUNTED_BY_ITS_PROTOCOL:
            self._refusals.note(f"requests that uvicorn reported: {str(msg)[:60]}")


class Front:
    """The limits of one process, and what they refused.

    Parameters
    ----------
    limits
        For connections.
    addresses
        Tells where requests come from.
    rates
        For requests; None: the usual ones.
    """

    def __init__(
        self, limits: ConnectionLimits, addresses: ClientAddresses | None = None, rates: RequestRates | None = None
    ) -> None:
        self.refusals = RefusalCounts()
        self.addresses = addresses or ClientAddresses()
        self.connections = Connections(limits, self.refusals, self.addresses.is_proxy)
        self.requests = RequestLimits(self.refusals, rates)
        self.turns = RequestTurns()
        self.logger = ProtocolLogger(self.refusals)
        self.lines = EventLines(self.refusals)


class FrontDoor:
    """ASGI middleware: notes a request's address and token in its state, and applies the limits on requests."""

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        peer = scope.get("client") or ("", 0)
        state = scope.setdefault("state", {})
        address = state["client_address"] = self._front.addresses.of_request(peer[0], scope["headers"])
        token = state["bearer_token"] = _token_in(scope["headers"])
        try:
            self._front.requests.admit(address, token)
            _require_text(scope)
        except (RateLimited, BadValue) as error:
            await answer_of(error)(scope, receive, send)
            return
        name = self._front.requests.known_token(token)
        turn = state["turn"] = self._front.turns.of(name or address, is_known=bool(name))
        try:
            await self._app(scope, receive, turn.sending(send))
        finally:
            turn.end()


def _require_text(scope: Scope) -> None:
    if b"%00" in scope["query_string"] or "\0" in scope["path"]:
        raise BadValue("the request's target has a NUL")


def _token_in(fields: list[tuple[bytes, bytes]]) -> str:
    for name, value in fields:
        if name == b"authorization":
            scheme, _, text = value.decode("latin-1").partition(" ")
            return text.strip() if scheme.lower() == "bearer" else ""
    return ""
