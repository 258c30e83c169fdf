"""Errors that are sent as problem JSON arrive as the same errors."""

import json
from uuid import uuid4

import pytest

from transfer.wire.errors import BY_SLUG, ProtocolMismatch, ReceiverBusy, TemporaryError, UploadConflict
from transfer.wire.problems import PROBLEM_TYPE, error_of, problem_of


@pytest.mark.parametrize("cls", [cls for cls in BY_SLUG.values() if cls.status is not None], ids=lambda cls: cls.slug)
def test_every_error_that_travels_arrives_as_itself(cls):
    sent = cls("what happened", upload_id="some id")
    problem = problem_of(sent)
    arrived = error_of(problem.status, problem.model_dump_json().encode())
    assert type(arrived) is cls
    assert (arrived.detail, arrived.hint, arrived.extra) == ("what happened", sent.hint, {"upload_id": "some id"})
    assert problem.status == cls.status
    assert problem.type == PROBLEM_TYPE + cls.slug
    assert problem.title == cls.title()


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (500, b"Internal Server Error", TemporaryError),
        (502, b"<html>Bad Gateway</html>", TemporaryError),
        (429, b"", TemporaryError),
        (408, b"", TemporaryError),
        (404, b"<html>not here</html>", ProtocolMismatch),
        (302, b"", ProtocolMismatch),
        (400, b"Invalid HTTP request received.", ProtocolMismatch),
        (409, b'{"type": "https://elsewhere/x", "title": "x", "status": 409}', ProtocolMismatch),
        (409, b"\xff\xfe", ProtocolMismatch),
    ],
)
def test_an_answer_that_is_not_ours_is_judged_by_its_status(status, body, cls):
    assert type(error_of(status, body)) is cls


@pytest.mark.parametrize(
    ("field", "seconds"),
    [("17", 17.0), (None, None), ("soon", None), ("²", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_carried_by_temporary_errors(field, seconds):
    error = error_of(503, problem_of(ReceiverBusy()).model_dump_json().encode(), field)
    assert isinstance(error, ReceiverBusy)
    assert error.retry_after_s == seconds


def test_members_of_a_problem_stand_beside_the_registered_ones():
    upload_id = str(uuid4())
    body = json.loads(problem_of(UploadConflict(upload_id=upload_id)).model_dump_json())
    assert body["upload_id"] == upload_id
