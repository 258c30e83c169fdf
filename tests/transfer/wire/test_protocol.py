"""Routes and bodies: names are quoted, and a body that is not as agreed is refused."""

import pytest
from pydantic import ValidationError

from transfer.wire import protocol
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.protocol import CommitRequest, UploadDeclaration, committed_url, route
from transfer.wire.receipt import Receipt


def test_a_route_quotes_its_values_and_keeps_folders_in_paths_only():
    assert route(protocol.SESSION, session="../a b") == "/v1/sessions/..%2Fa%20b"
    assert route(protocol.FILE, session="s", path="Zürich/a+b?#.mrc") == "/v1/files/s/Z%C3%BCrich/a%2Bb%3F%23.mrc"


def test_a_committed_file_is_read_under_its_revision():
    receipt = Receipt(session="s", path="f/a b.mrc", revision=3, size_bytes=1, digest="0" * 64)
    assert committed_url(receipt) == "/v1/files/s/f/a%20b.mrc?revision=3"


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (UploadDeclaration, {"session": "s", "path": "p", "size_bytes": -1}),
        (UploadDeclaration, {"session": "s", "path": "p", "size_bytes": 1, "revision": 0}),
        (CommitRequest, {"digest": "x" * 64}),
        (CommitRequest, {"digest": "a" * 63}),
        (CommitRequest, {}),
    ],
)
def test_a_body_that_is_not_as_agreed_is_refused(model, body):
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_what_a_newer_side_adds_is_ignored():
    told = {"session": "s", "path": "p", "size_bytes": 1}
    assert UploadDeclaration.model_validate({**told, "of_tomorrow": 1}) == UploadDeclaration.model_validate(told)


def test_a_declaration_has_the_chunks_of_the_protocol():
    assert UploadDeclaration(session="s", path="p", size_bytes=1).chunk_bytes == CHUNK_BYTES
