"""Turns errors into problem JSON (RFC 9457) and back; `type` names one class of `transfer.wire.errors`."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from transfer.wire.errors import BY_SLUG, PermanentError, TemporaryError, TransferError
from transfer.wire.foreign_answers import Field, foreign_answer, no_field
from transfer.wire.header_fields import parse_retry_after

PROBLEM_JSON = "application/problem+json"
PROBLEM_TYPE = "https://cryoferry.invalid/problems/"
LONGEST_RETRY_AFTER_S = 300.0
"""A longer wait is not obeyed: the field may come from a proxy, or be wrong."""


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


def error_of(status: int, body: bytes, field: Field = no_field, *, where: str = "") -> TransferError:
    """Return the error that an answer describes; ForeignAnswer if it is no problem of a receiver.

    Parameters
    ----------
    status, body, field
        The answer, which is not 2xx.
    where
        What was asked, for the text of a ForeignAnswer.
    """
    try:
        error = _error_of_problem(status, Problem.model_validate_json(body))
    except ValueError:
        error = foreign_answer(status, body, field, where=where)
    if isinstance(error, TemporaryError) and (retry_after := field("Retry-After")):
        wait_s = parse_retry_after(retry_after, datetime.now(UTC))
        error.retry_after_s = None if wait_s is None else min(wait_s, LONGEST_RETRY_AFTER_S)
    return error


def _error_of_problem(status: int, problem: Problem) -> TransferError:
    """Return the error of a receiver's problem; one that only a newer version knows is judged by its status.

    Raises
    ------
    ValueError
        It is not a receiver's: its type is that of other software, or of an error that no receiver reports.
    """
    slug = problem.type.removeprefix(PROBLEM_TYPE)
    if slug == problem.type or status < 400:
        raise ValueError(f"{problem.type} is not a receiver's problem")
    cls = BY_SLUG.get(slug, TemporaryError if status >= 500 else PermanentError)
    if cls.status is None:
        raise ValueError(f"no receiver reports {slug}")
    error = cls(problem.detail or problem.title, hint=problem.hint or None)
    error.extra = dict(problem.model_extra or {})  # not as arguments: a member may have the name of one
    return error
