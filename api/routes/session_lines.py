"""Logs what happened in a session at a request."""

from __future__ import annotations

import logging

from fastapi import Request

from api.access.guard import front_of
from api.access.tokens import Token

log = logging.getLogger(__name__)


def log_in_session(request: Request, session: str, text: str, *values: object) -> None:
    """Log one line about a session, with the token of the request that did it.

    Parameters
    ----------
    text, *values
        What happened, as for `logging.info`. Write texts of clients with `%r`, so that their ends can be seen.
    """
    token: Token = request.state.token
    line = f"session %s: {text} (token %s)"
    front_of(request).lines.log(log, logging.INFO, token.id, line, session, *values, token.id)
