"""Fields and bodies of the wire: what is written is read back, and what contradicts itself is refused."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import (
    BY_SLUG,
    BadRequest,
    ProtocolMismatch,
    ReceiverBusy,
    TemporaryError,
    UploadConflict,
)
from transfer.wire.protocol import (
    PROBLEM_TYPE,
    CommitRequest,
    UploadDeclaration,
    error_of,
    format_content_range,
    parse_content_range,
    parse_retry_after,
    problem_of,
)


@given(st.integers(0, 10**15), st.integers(1, 10**9), st.integers(0, 10**12))
def test_content_range_round_trip(start, length, rest):
    chunk, size_bytes = range(start, start + length), start + length + rest
    assert parse_content_range(format_content_range(chunk, size_bytes)) == (chunk, size_bytes)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "bytes",
        "bytes 0-9",
        "bytes 0-9/*",
        "bytes */10",
        "bytes 9-0/10",
        "bytes 0-10/10",
        "bytes -1-5/10",
        "bytes 0-9/10, 10-11/12",
        "bits 0-9/10",
        "bytes 0 - 9/10",
        "bytes 0-9/" + "9" * 20,
        "bytes \u0660-\u0669/\u0661\u0660",
    ],
)
def test_a_range_that_lies_is_refused(field):
    with pytest.raises(BadRequest):
        parse_content_range(field)


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


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_retry_after_may_be_a_date(zone):
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert parse_retry_after(f"Tue, 24 Nov 2026 12:01:30 {zone}", now) == 90


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


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (UploadDeclaration, {"session": "s", "path": "p", "size_bytes": -1}),
        (UploadDeclaration, {"session": "s", "path": "p", "size_bytes": 1, "revision": 0}),
        (UploadDeclaration, {"session": "s", "path": "p", "size_bytes": 1, "unknown": 1}),
        (CommitRequest, {"digest": "x" * 64}),
        (CommitRequest, {"digest": "a" * 63}),
        (CommitRequest, {}),
    ],
)
def test_a_body_that_is_not_as_agreed_is_refused(model, body):
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_a_declaration_has_the_chunks_of_the_protocol():
    assert UploadDeclaration(session="s", path="p", size_bytes=1).chunk_bytes == CHUNK_BYTES
