"""Makes every answer that is not 2xx a problem (RFC 9457)."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.http.event_lines import EventLines
from api.http.refusals import RefusalCounts
from transfer.disk.state import is_full
from transfer.wire.errors import (
    AuthRejected,
    BadRequest,
    BadValue,
    ClientStalled,
    LimitReached,
    NotFound,
    PermanentError,
    RateLimited,
    ReceiverBusy,
    ReceiverFull,
    ScopeRejected,
    StorageFailed,
    TemporaryError,
    TooLarge,
    TransferError,
    UnsupportedCoding,
)
from transfer.wire.problems import PROBLEM_JSON, problem_of
from transfer.wire.protocol import H_RETRY_AFTER, ZSTD

log = logging.getLogger(__name__)

_BAD_VALUES = {"finite_number", "int_parsing_size", "string_unicode"}
"""Kinds of pydantic's errors that mean a value which no receiver can keep."""

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

_COUNTED: dict[type[TransferError], str] = {
    ReceiverFull: "uploads that did not fit into the free space (507)",
    RateLimited: "uploads above the limit of their token (429)",
    LimitReached: "requests beyond a limit on what is kept (409)",
    ReceiverBusy: "requests while the receiver was busy (503)",
    TooLarge: "bodies that were too large (413)",
    ClientStalled: "bodies that stopped coming (408)",
    ScopeRejected: "requests that their token does not permit (403)",
}
"""What is counted for the log when an answer reports it. What the other layers refuse, they count themselves."""
_DISK_FULL = "requests that found the disk full (507)"
_NO_DESCRIPTOR_LEFT = "requests that found no free descriptor (503)"
_SHOWN_PATH = 200  # characters in the log
_SHOWN_ERRORS, _SHOWN_PLACE = 10, 200  # wrong values in one answer, and characters of the place of each

RETRY_AFTER_S = {ReceiverBusy: 1, ReceiverFull: 10, StorageFailed: 10}


def answer_of(error: TransferError, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """Return the answer that reports an error."""
    problem = problem_of(error, status)
    headers = dict(headers or {})
    if isinstance(error, TemporaryError):
        headers[H_RETRY_AFTER] = f"{error.retry_after_s or RETRY_AFTER_S.get(type(error), 1):.0f}"
    if isinstance(error, AuthRejected):
        headers["WWW-Authenticate"] = 'Bearer realm="cryoferry"'
    if isinstance(error, UnsupportedCoding):
        headers["Accept-Encoding"] = ZSTD  # RFC 9110 section 15.5.16
    if isinstance(error, TooLarge | ClientStalled):
        headers["Connection"] = "close"  # the receiver does not read the rest of the body
    return JSONResponse(problem.model_dump(), problem.status, headers, PROBLEM_JSON)


def disk_error(error: OSError) -> TransferError:
    """Return the error that a client gets for an error of the disk."""
    if is_full(error):
        return ReceiverFull()
    if error.errno in _NO_DESCRIPTOR:
        return ReceiverBusy("the receiver has as many files open as its system permits")
    return StorageFailed(f"the receiver's disk reported an error: {error.strerror or error}")


def database_error(error: DBAPIError) -> TransferError:
    """Return the error that a client gets for an error of the database."""
    message = str(error.orig).lower()
    if "disk is full" in message or "no space left" in message or "disk full" in message:
        return ReceiverFull("the receiver's database has no space left")
    if "locked" in message or "connect" in message or "unable to open" in message:  # the last: no descriptor is free
        return ReceiverBusy("the receiver's database is busy")
    return StorageFailed("the receiver's database reported an error")


async def _transfer_error(request: Request, error: TransferError) -> Response:
    if (counted := _COUNTED.get(type(error))) is not None:
        _refusals(request).note(counted, getattr(request.state, "client_address", ""))
    return answer_of(error)


async def _disk_error(request: Request, error: OSError) -> Response:
    _log_error(request, f"{type(error).__name__} {error.errno}", ": %s", error)
    found = disk_error(error)
    if not isinstance(found, StorageFailed):
        _refusals(request).note(_DISK_FULL if isinstance(found, ReceiverFull) else _NO_DESCRIPTOR_LEFT)
    return answer_of(found)


async def _database_error(request: Request, error: DBAPIError) -> Response:
    _log_error(request, "database", ": %s", error.orig)
    found = database_error(error)
    if isinstance(found, ReceiverFull):
        _refusals(request).note(_DISK_FULL)
    return answer_of(found)


def _log_error(request: Request, cause: str, text: str, *values: object, exc_info: Exception | None = None) -> None:
    """Log what made a request fail; so many lines of one cause, for a broken disk makes every request fail."""
    lines: EventLines = request.app.state.front.lines
    path = request.url.path[:_SHOWN_PATH]
    lines.log(log, logging.ERROR, cause, f"%s %s{text}", request.method, path, *values, exc_info=exc_info)


def _refusals(request: Request) -> RefusalCounts:
    counts: RefusalCounts = request.app.state.front.refusals
    return counts


async def _no_connection_free(_request: Request, _error: PoolTimeout) -> Response:
    return answer_of(ReceiverBusy("the receiver's database is busy"))


async def _invalid(_request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    shown = [f"{'.'.join(map(str, item['loc']))[:_SHOWN_PLACE]}: {item['msg']}" for item in found[:_SHOWN_ERRORS]]
    more = [f"and {len(found) - _SHOWN_ERRORS} more"] if len(found) > _SHOWN_ERRORS else []
    wrong = "; ".join(shown + more)
    return answer_of(BadValue(wrong) if {item["type"] for item in found} <= _BAD_VALUES else BadRequest(wrong))


async def _http_error(_request: Request, error: HTTPException) -> Response:
    kind = NotFound if error.status_code == 404 else BadRequest if error.status_code < 500 else TemporaryError
    return answer_of(kind(str(error.detail)), error.status_code, dict(error.headers or {}))


async def _client_left(_request: Request, _error: ClientDisconnect) -> Response:
    return answer_of(PermanentError("the client disconnected"), 499)  # no client reads it


async def _unexpected(request: Request, error: Exception) -> Response:
    _log_error(request, type(error).__name__, " failed", exc_info=error)
    return answer_of(TransferError("the receiver failed with an unexpected error; the error is in its log"))


def install(app: FastAPI) -> None:
    """Make an app answer every error with a problem."""
    handlers: Iterable[tuple[type[Exception], Any]] = (
        (TransferError, _transfer_error),
        (OSError, _disk_error),
        (DBAPIError, _database_error),
        (PoolTimeout, _no_connection_free),
        (RequestValidationError, _invalid),
        (HTTPException, _http_error),
        (ClientDisconnect, _client_left),
        (Exception, _unexpected),
    )
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)
