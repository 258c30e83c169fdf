"""The order in which tasks are taken."""

import pytest

from transfer.pace.pacer import Priority
from transfer.pace.retrying import RetryPolicy
from transfer.upload.exchange import Exchange
from transfer.upload.task_queue import TaskQueue
from transfer.wire.errors import LinkLost

FORE, BACK = Priority.FOREGROUND, Priority.BACKGROUND


def exchange() -> Exchange:
    return Exchange(lambda buffer, may_encode: None, lambda body: None, RetryPolicy(0, lambda: False))


def test_the_foreground_goes_first_then_the_smaller_number_then_what_was_added_first() -> None:
    queue = TaskQueue()
    urgencies = [(BACK, -9), (FORE, 2), (FORE, 1), (BACK, -9), (FORE, 2)]
    added = [queue.add(exchange(), urgency) for urgency in urgencies]
    assert len(queue) == 5
    assert [queue.take() for _ in range(6)] == [added[n] for n in (2, 1, 4, 0, 3)] + [None]
    assert len(queue) == 0


def test_a_cancelled_task_is_never_taken_and_a_taken_one_is_never_cancelled() -> None:
    queue = TaskQueue()
    first, second = queue.add(exchange(), (FORE, 0)), queue.add(exchange(), (FORE, 1))
    assert first.future.cancel()
    assert queue.take() is second
    assert not second.future.cancel()
    assert queue.take() is None


def test_a_task_ends_with_its_result_or_its_error() -> None:
    queue = TaskQueue()
    good, bad = queue.add(exchange(), (FORE, 0)), queue.add(exchange(), (FORE, 1))
    queue.take()
    queue.take()
    good.finish()
    bad.finish(LinkLost("gone"))
    assert good.future.result() is None
    with pytest.raises(LinkLost, match="gone"):
        bad.future.result()
