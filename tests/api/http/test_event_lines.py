"""Limits that requests reach are counted for one line a minute, and errors of a broken disk do not fill the log."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from api.http.event_lines import AT_ONCE


def too_large(receiver: Any, wire: Any) -> int:
    return int(wire.declare(uuid4(), "x", 1 << 60).status_code)


def no_space(receiver: Any, wire: Any) -> int:
    receiver.app.state.receiver.storage.free_bytes = lambda: 10
    return int(wire.declare(uuid4(), "x", 1000).status_code)


def many_uploads(receiver: Any, wire: Any) -> int:
    return [wire.declare(uuid4(), f"x{number}", 1).status_code for number in range(3)][-1]


def another_session(receiver: Any, wire: Any) -> int:
    return int(wire.http.put("/v1/sessions/other").status_code)


def failing(number: int) -> Callable[[Any, Any], int]:
    def ask(receiver: Any, wire: Any) -> int:
        def fail() -> int:
            raise OSError(number, os.strerror(number))

        receiver.app.state.receiver.storage.free_bytes = fail
        return int(wire.http.get("/v1/service").status_code)

    return ask


@pytest.mark.parametrize(
    ("reach", "status", "counted"),
    [
        (too_large, 413, "bodies that were too large (413)"),
        (no_space, 507, "uploads that did not fit into the free space (507)"),
        (many_uploads, 429, "uploads above the limit of their token (429)"),
        (another_session, 403, "requests that their token does not permit (403)"),
        (failing(errno.ENOSPC), 507, "requests that found the disk full (507)"),
        (failing(errno.EMFILE), 503, "requests that found no free descriptor (503)"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:20],
)
def test_a_limit_that_is_reached_is_counted(receiver, wire, monkeypatch, reach, status: int, counted: str) -> None:
    monkeypatch.setattr(receiver.app.state.receiver.uploads, "max_open_uploads", 2)
    assert reach(receiver, wire) == status
    assert receiver.app.state.refusals.in_all() == {counted: 1}


def test_errors_of_one_kind_are_so_many_lines_of_bounded_length(receiver, wire, caplog) -> None:
    ask = failing(errno.EIO)
    for _ in range(AT_ONCE + 10):
        assert ask(receiver, wire) == 500
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == AT_ONCE
    assert "Input/output error" in errors[0].getMessage()
    left_out = "lines left out of the log, because there were too many of their cause"
    assert receiver.app.state.refusals.in_all() == {left_out: 10}
    assert failing(errno.ESTALE)(receiver, wire) == 500
    assert "Stale file handle" in caplog.records[-1].getMessage()
