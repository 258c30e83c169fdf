"""Turns errors into problem JSON (RFC 9457) and back; `type` names one class of `transfer.wire.errors`."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from transfer.wire.errors import BY_SLUG, ProtocolMismatch, TemporaryError, TransferError
from transfer.wire.header_fields import parse_retry_after

PROBLEM_JSON = "application/problem+json"
PROBLEM_TYPE = "https://cryoferry.invalid/problems/"


class Problem(BaseModel):
    """The body of every answer that is not 2xx (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str = ""
    hint: str = ""


def problem_of(error: TransferError, status: int | None = None) -> Problem:
    """Return the problem that describes an error; `status` overrides the error's own."""
    return Problem(
        type=PROBLEM_TYPE + error.slug,
        title=error.title(),
        status=status or error.status or 500,
        detail=error.detail,
        hint=error.hint,
        **error.extra,  # extension members, RFC 9457 section 3.2
    )


def error_of(status: int, body: bytes, retry_after: str | None = None) -> TransferError:
    """Return the error that an answer describes.

    Without a problem of ours in the body, only the status decides: the answer did not come from the receiver.

    Parameters
    ----------
    status, body, retry_after
        The answer's status, body and Retry-After field.
    """
    try:
        error = _error_of_problem(Problem.model_validate_json(body))
    except ValueError:
        kind = TemporaryError if status in (408, 429) or status >= 500 else ProtocolMismatch
        error = kind(f"HTTP {status}: {body[:200].decode(errors='replace')}")
    if isinstance(error, TemporaryError) and retry_after:
        error.retry_after_s = parse_retry_after(retry_after, datetime.now(UTC))
    return error


def _error_of_problem(problem: Problem) -> TransferError:
    cls = BY_SLUG.get(problem.type.removeprefix(PROBLEM_TYPE))
    if cls is None:
        raise ValueError(f"unknown problem type {problem.type}")
    return cls(problem.detail, hint=problem.hint or None, **(problem.model_extra or {}))
