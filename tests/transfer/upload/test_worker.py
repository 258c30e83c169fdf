"""The order in which a worker sends tasks and reads their answers, and what becomes of tasks whose worker breaks."""

from __future__ import annotations

from typing import Any, cast

import pytest
from scripted_connection import ScriptedConnection

from transfer.connections.contract import Put, SendCallbacks
from transfer.pace.congestion import CongestionMonitor
from transfer.pace.pacer import Priority
from transfer.pace.retrying import RetryPolicy
from transfer.upload.compression_budget import CompressionBudget
from transfer.upload.exchange import Exchange
from transfer.upload.task_queue import Task, TaskQueue
from transfer.upload.worker import Worker
from transfer.wire.errors import LinkLost, NameTaken, ReceiverBusy

CALLBACKS = SendCallbacks(lambda left: left, lambda count: None, lambda: None)


class Tasks:
    """Tasks named 0, 1 … for a worker, and what they accepted."""

    def __init__(self, count: int, *, empty: tuple[int, ...] = ()) -> None:
        self.queue, self.accepted = TaskQueue(), list[tuple[int, bytes]]()
        self.empty, self.ended = empty, False
        self.all = [self.queue.add(self.exchange(n), (Priority.FOREGROUND, n)) for n in range(count)]

    def exchange(self, number: int) -> Exchange:
        put = None if number in self.empty else Put(str(number), {}, cast("Any", None), range(0))
        retry = RetryPolicy(10, lambda: False, sleep=lambda seconds: None, clock=iter(range(10**6)).__next__)
        return Exchange(lambda buffer, encode: put, lambda body: self.accepted.append((number, body)), retry)

    def next(self, may_end: bool) -> Task | None:
        task = self.queue.take()
        self.ended = task is None and may_end
        return task

    def run(self, connection: ScriptedConnection, *, pipelines: bool = False) -> None:
        congestion = CongestionMonitor()
        congestion.pipelines = pipelines
        budget = CompressionBudget(lambda: False)
        Worker(connection, self.next, lambda task: CALLBACKS, congestion, budget).run()


def test_on_a_short_round_trip_each_answer_is_read_before_the_next_request() -> None:
    tasks, connection = Tasks(3), ScriptedConnection(b"a", b"b", b"c")
    tasks.run(connection)
    assert connection.done == ["send 0", "answer", "send 1", "answer", "send 2", "answer"]
    assert tasks.accepted == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert tasks.ended
    assert all(task.future.done() for task in tasks.all)


def test_on_a_long_round_trip_a_second_request_is_sent_before_the_first_answer() -> None:
    tasks, connection = Tasks(3), ScriptedConnection(b"a", b"b", b"c")
    tasks.run(connection, pipelines=True)
    assert connection.done == ["send 0", "send 1", "answer", "send 2", "answer", "answer"]
    assert tasks.accepted == [(0, b"a"), (1, b"b"), (2, b"c")]


def test_a_task_without_anything_to_send_ends_at_once() -> None:
    tasks, connection = Tasks(2, empty=(0,)), ScriptedConnection(b"b")
    tasks.run(connection)
    assert connection.done == ["send 1", "answer"]
    assert tasks.all[0].future.result() is None


def test_a_permanent_error_ends_its_task_and_no_other() -> None:
    tasks, connection = Tasks(2), ScriptedConnection(NameTaken("both"), b"b")
    tasks.run(connection)
    with pytest.raises(NameTaken, match="both"):
        tasks.all[0].future.result()
    assert tasks.accepted == [(1, b"b")]


def test_after_a_lost_connection_all_requests_without_an_answer_are_sent_again() -> None:
    tasks, connection = Tasks(2), ScriptedConnection(LinkLost("cut"), b"a", b"b")
    tasks.run(connection, pipelines=True)
    assert connection.done == ["send 0", "send 1", "answer", "send 0", "answer", "send 1", "answer"]
    assert tasks.accepted == [(0, b"a"), (1, b"b")]


def test_a_failed_request_is_sent_again_when_no_other_one_is_without_an_answer() -> None:
    """Otherwise the answer to another request would be taken for its own."""
    tasks, connection = Tasks(2), ScriptedConnection(ReceiverBusy(), b"b", b"a")
    tasks.run(connection, pipelines=True)
    assert connection.done == ["send 0", "send 1", "answer", "answer", "send 0", "answer"]
    assert tasks.accepted == [(1, b"b"), (0, b"a")]


@pytest.mark.parametrize("answers", [(), (ReceiverBusy(), b"b")], ids=["first answer", "repeated request"])
def test_nobody_waits_for_ever_for_the_tasks_of_a_worker_that_breaks(answers: tuple[bytes | Exception, ...]) -> None:
    tasks, connection = Tasks(2), ScriptedConnection(*answers, ZeroDivisionError("broken"))
    with pytest.raises(ZeroDivisionError):
        tasks.run(connection, pipelines=True)
    assert isinstance(tasks.all[0].future.exception(timeout=0), ZeroDivisionError)
    assert tasks.all[1].future.done()
