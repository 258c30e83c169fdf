"""Which uploads lose their promise when connections close."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from api.http.connections import ConnectionLimits, Connections, Place
from api.http.refusals import RefusalCounts
from api.intake import upload_connections
from api.intake.upload_connections import UploadConnections


@pytest.fixture
def connections() -> UploadConnections:
    return UploadConnections()


def place() -> Place:
    made = Connections(ConnectionLimits.of_total(10), RefusalCounts()).admit("192.0.2.1")
    assert made is not None
    return made


def left(connections: UploadConnections, after_s: float = 0) -> list[UUID]:
    return [one.id for one in connections.take_left(after_s)]


def test_the_last_of_several_connections_counts(connections) -> None:
    declared_on, sent_on, upload = place(), place(), uuid4()
    connections.note(upload, declared_on)
    connections.note(upload, sent_on)
    connections.note(upload, sent_on)
    declared_on.leave()
    assert left(connections) == []
    sent_on.leave()
    assert left(connections, after_s=60) == []
    assert left(connections) == [upload]
    assert left(connections) == []  # each once


def test_a_client_that_connects_again_in_time_has_not_left(connections) -> None:
    first, again, upload, other = place(), place(), uuid4(), uuid4()
    for one in (upload, other):
        connections.note(one, first)
    first.leave()
    connections.note(upload, again)
    assert left(connections) == [other]
    again.leave()
    assert left(connections) == [upload]


def test_a_connection_that_closed_before_it_was_noted(connections) -> None:
    closed, upload = place(), uuid4()
    closed.leave()
    connections.note(upload, closed)
    assert left(connections) == [upload]
    connections.note(upload, None)
    assert left(connections) == []


def test_a_connection_keeps_so_many_uploads_in_mind(connections, monkeypatch) -> None:
    monkeypatch.setattr(upload_connections, "MOST_OF_CONNECTION", 2)
    one, uploads = place(), [uuid4() for _ in range(3)]
    for upload in [uploads[0], uploads[1], uploads[0], uploads[2]]:
        connections.note(upload, one)
    one.leave()
    assert left(connections) == [uploads[0], uploads[2]]
