"""Requests with their outcomes: kept once, in order, until their confirmation has arrived."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import uuid4

import pytest

from agents.journal.journal import Journal


def test_outcomes_survive_a_restart_until_they_are_confirmed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.requests.keep("1", "retry", uuid4(), "done", "")
    journal.requests.keep("2", "pause", None, "refused", "not permitted")
    journal.close()
    journal = Journal(tmp_path)
    assert journal.requests.unconfirmed(5) == [("1", "done", ""), ("2", "refused", "not permitted")]
    assert journal.requests.unconfirmed(1) == [("1", "done", "")]
    journal.requests.confirm(["1"])
    assert journal.requests.unconfirmed(5) == [("2", "refused", "not permitted")]
    assert journal.requests.repeat_confirmation("1")
    assert [request_id for request_id, *_ in journal.requests.unconfirmed(5)] == ["1", "2"]
    assert not journal.requests.repeat_confirmation("3")
    journal.close()


def test_a_request_is_kept_once_and_with_the_transaction_around_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    def keep_and_fail() -> None:
        with journal.transaction():
            journal.requests.keep("1", "pause", None, "done", "")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        keep_and_fail()
    assert journal.requests.unconfirmed(5) == []
    journal.requests.keep("1", "pause", None, "done", "")
    with pytest.raises(sqlite3.IntegrityError):
        journal.requests.keep("1", "pause", None, "done", "")
    journal.close()
