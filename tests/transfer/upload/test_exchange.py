"""A request is repeated while that is useful, and never takes an answer that is not its own."""

from __future__ import annotations

from typing import Any, cast

import pytest
from scripted_connection import ScriptedConnection

from transfer.connections.contract import Put, SendCallbacks
from transfer.pace.retrying import RetryPolicy
from transfer.upload.exchange import CORRUPT_TRIES, Exchange, is_worth_repeating
from transfer.wire.errors import ChunkCorrupt, FileCorrupt, LinkLost, NameTaken, ReceiverBusy, TransferStopped

CALLBACKS = SendCallbacks(lambda left: left, lambda count: None, lambda: None)
BUFFER = memoryview(bytearray(1))
PUT = Put("target", {}, cast("Any", None), range(0))


def policy(*, give_up_after_s: float | None = None, stops: bool = False) -> RetryPolicy:
    """Return a policy whose clock goes on by 1 s at each look."""
    clock = iter(range(10**6)).__next__
    return RetryPolicy(give_up_after_s, lambda: stops, clock=clock, sleep=lambda seconds: None)


def exchange(accepted: list[bytes], *, put: Put | None = PUT, retry: RetryPolicy | None = None) -> Exchange:
    return Exchange(lambda buffer, may_encode: put, accepted.append, retry or policy())


def test_a_request_is_sent_and_its_answer_accepted() -> None:
    accepted: list[bytes] = []
    one, connection = exchange(accepted), ScriptedConnection(b"body")
    assert one.begin(connection, CALLBACKS, BUFFER, may_encode=False)
    one.finish(connection)
    assert accepted == [b"body"]


def test_if_there_is_nothing_to_send_no_answer_is_awaited() -> None:
    connection = ScriptedConnection()
    assert not exchange([], put=None).begin(connection, CALLBACKS, BUFFER, may_encode=False)
    assert connection.done == []


def test_after_the_connection_was_closed_no_answer_is_taken() -> None:
    accepted: list[bytes] = []
    one, connection = exchange(accepted), ScriptedConnection(b"the answer to another request")
    one.begin(connection, CALLBACKS, BUFFER, may_encode=False)
    connection.close()
    with pytest.raises(LinkLost):
        one.finish(connection)
    assert accepted == []


def test_temporary_errors_and_corrupt_chunks_are_repeated_until_it_succeeds() -> None:
    accepted: list[bytes] = []
    one, connection = exchange(accepted), ScriptedConnection(ChunkCorrupt(), ReceiverBusy(), LinkLost(), b"body")
    one.repeat(LinkLost("first"), connection, CALLBACKS, BUFFER, may_encode=False)
    assert accepted == [b"body"]
    assert connection.done.count("send target") == 4


def test_a_chunk_that_is_always_corrupt_is_given_up() -> None:
    one, connection = exchange([]), ScriptedConnection(*(ChunkCorrupt() for _ in range(100)))
    with pytest.raises(ChunkCorrupt):
        one.repeat(ChunkCorrupt("first"), connection, CALLBACKS, BUFFER, may_encode=False)
    assert connection.done.count("send target") == CORRUPT_TRIES - 1  # the first try failed before


def test_other_errors_and_the_end_of_the_time_end_it() -> None:
    with pytest.raises(NameTaken):
        exchange([]).repeat(LinkLost(), ScriptedConnection(NameTaken()), CALLBACKS, BUFFER, may_encode=False)
    failing = ScriptedConnection(*(ReceiverBusy(f"{number}") for number in range(100)))
    with pytest.raises(ReceiverBusy, match=r"\d"):
        exchange([], retry=policy(give_up_after_s=20)).repeat(LinkLost(), failing, CALLBACKS, BUFFER, may_encode=False)
    assert 0 < len(failing.done) < 100


def test_nothing_is_sent_after_a_stop() -> None:
    connection = ScriptedConnection()
    with pytest.raises(TransferStopped):
        exchange([], retry=policy(stops=True)).begin(connection, CALLBACKS, BUFFER, may_encode=False)
    assert connection.done == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [(LinkLost(), True), (ReceiverBusy(), True), (ChunkCorrupt(), True), (FileCorrupt(), False), (NameTaken(), False)],
)
def test_which_errors_are_worth_another_try(error: Exception, expected: bool) -> None:
    assert is_worth_repeating(error) is expected
