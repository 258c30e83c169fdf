"""Errors of the receiver's machine, as clients get them."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from api.http.problems import answer_of, database_error, disk_error


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_files_that_cannot_be_opened_for_want_of_a_descriptor_are_for_later(number) -> None:
    answer = answer_of(disk_error(OSError(number, os.strerror(number))))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_database_that_cannot_be_opened_for_want_of_a_descriptor_is_for_later() -> None:
    answer = answer_of(
        database_error(OperationalError("", None, sqlite3.OperationalError("unable to open database file")))
    )
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
