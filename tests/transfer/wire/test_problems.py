"""Errors that are sent as problem JSON arrive as the same errors."""

import json
from uuid import uuid4

import pytest

from transfer.wire.errors import BY_SLUG, ForeignAnswer, PermanentError, ReceiverBusy, TemporaryError, UploadConflict
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
    ("status", "body"),
    [
        (500, b"Internal Server Error"),
        (502, b"<html>Bad Gateway</html>"),
        (429, b""),
        (408, b""),
        (404, b"<html>not here</html>"),
        (302, b""),
        (400, b"Invalid HTTP request received."),
        (409, b'{"type": "https://elsewhere/x", "title": "x", "status": 409}'),
        (409, b'{"type": "about:blank", "title": "Conflict", "status": 409, "detail": null}'),
        (404, b'{"detail": "Not Found"}'),
        (404, b"null"),
        (409, b"\xff\xfe"),
        (400, b"[" * 100_000),
        (301, problem_of(UploadConflict()).model_dump_json().encode()),
        (409, b'{"type": "https://cryoferry.invalid/problems/source-changed", "title": "x", "status": 409}'),
    ],
)
def test_an_answer_that_is_not_ours_is_foreign(status, body):
    error = error_of(status, body, where="GET https://vm.example.org/v1/service")
    assert type(error) is ForeignAnswer
    assert f"HTTP {status}" in str(error)
    assert "GET https://vm.example.org/v1/service" in str(error)
    assert "Nothing is lost" in error.hint


def test_a_problem_that_only_a_newer_receiver_knows_is_judged_by_its_status():
    body = {"type": f"{PROBLEM_TYPE}invented-later", "title": "Something new.", "status": 409, "hint": "Do this."}
    error = error_of(409, json.dumps(body).encode())
    assert (type(error), error.detail, error.hint) == (PermanentError, "Something new.", "Do this.")
    assert type(error_of(503, json.dumps(body).encode())) is TemporaryError


CLASHES = ["self", "args", "extra", "retry_after_s", "cls", "model_extra", "__class__", "with_traceback", "slug"]


@pytest.mark.parametrize("name", CLASHES)
def test_a_member_may_have_the_name_of_a_parameter(name):
    body = {"type": f"{PROBLEM_TYPE}upload-conflict", "title": "t", "status": 409, "detail": "d", name: "value"}
    error = error_of(409, json.dumps(body).encode())
    assert type(error) is UploadConflict
    assert (error.detail, error.extra[name], error.slug) == ("d", "value", "upload-conflict")


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("17", 17.0), (None, None), ("soon", None), ("²", None), ("-5", None), ("1e9", None), ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("86400", 300.0), ("1000000000", 300.0), ("9" * 400, 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0), ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [problem_of(ReceiverBusy()).model_dump_json().encode(), b"<html>busy</html>"])
def test_retry_after_is_carried_by_temporary_errors_and_limited(field, seconds, body):
    error = error_of(503, body, {"Retry-After": field}.get)
    assert isinstance(error, TemporaryError)
    assert error.retry_after_s == seconds


def test_members_of_a_problem_stand_beside_the_registered_ones():
    upload_id = str(uuid4())
    body = json.loads(problem_of(UploadConflict(upload_id=upload_id)).model_dump_json())
    assert body["upload_id"] == upload_id
