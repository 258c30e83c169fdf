"""Runs tasks over one connection."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

from transfer.connections.contract import Connection, SendCallbacks
from transfer.pace.congestion import CongestionMonitor
from transfer.upload.compression_budget import CompressionBudget
from transfer.upload.exchange import is_worth_repeating
from transfer.upload.task_queue import Task
from transfer.wire.errors import TransferError

READ_BYTES = 1 << 18  # a worker hashes through a buffer of this size, which stays in the processor's cache


class Worker:
    """Runs tasks, one after the other, until there are none.

    Where the round trip is long, it sends the next task before it has the answer to the last one.

    Parameters
    ----------
    connection
        The connection, which no other worker uses meanwhile.
    next_task
        Returns the next task, or None. Its argument says whether the worker ends if there is none.
    callbacks_of
        Returns what the connection calls while it sends a task.
    congestion
        Knows whether a second task should be sent before the answer to the first one.
    budget
        Knows whether a body may be compressed.
    """

    def __init__(
        self,
        connection: Connection,
        next_task: Callable[[bool], Task | None],
        callbacks_of: Callable[[Task], SendCallbacks],
        congestion: CongestionMonitor,
        budget: CompressionBudget,
    ) -> None:
        self._connection, self._next_task, self._callbacks_of = connection, next_task, callbacks_of
        self._congestion, self._budget = congestion, budget
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._unanswered: deque[Task] = deque()
        self._failed: list[tuple[Task, TransferError]] = []
        self._answered_s = 0.0

    def run(self) -> None:
        """Run tasks until `next_task` returns None and every task has ended."""
        task = None
        try:
            while (task := self._next_task(not self._unanswered)) or self._unanswered:
                if task:
                    self._begin(task)
                while len(self._unanswered) > (1 if task and self._may_wait() else 0):
                    self._finish(self._unanswered[0])
                    self._unanswered.popleft()
                while self._failed:
                    self._repeat(*self._failed[0])
                    self._failed.pop(0)
        finally:  # whatever happened here, no caller must wait for a task for ever
            left = [*([task] if task else []), *self._unanswered, *(failed for failed, _ in self._failed)]
            for unfinished in left:
                if not unfinished.future.done():
                    unfinished.finish(sys.exception() or RuntimeError("the worker of this task has ended"))

    def _may_wait(self) -> bool:
        """Return whether a request may be without its answer while the next one is sent.

        Before a failed request is sent again, every answer must have been read: they come in the order of the requests.
        """
        return self._congestion.pipelines and not self._failed

    def _begin(self, task: Task) -> None:
        try:
            with self._budget.reserve() as may_encode:
                callbacks = self._callbacks_of(task)
                sent = task.exchange.begin(self._connection, callbacks, self._buffer, may_encode=may_encode)
            if sent:
                self._unanswered.append(task)
            else:
                task.finish()
        except TransferError as error:
            self._handle(task, error)

    def _finish(self, task: Task) -> None:
        try:
            task.exchange.finish(self._connection)
        except TransferError as error:
            self._handle(task, error)
        else:
            self._answered_s = time.monotonic()
            task.finish()

    def _handle(self, task: Task, error: TransferError) -> None:
        if is_worth_repeating(error):
            self._failed.append((task, error))  # repeated once no request is without an answer
        else:
            task.finish(error)

    def _repeat(self, task: Task, error: TransferError) -> None:
        try:
            callbacks = self._callbacks_of(task)
            with self._budget.reserve() as may_encode:
                task.exchange.repeat(
                    error,
                    self._connection,
                    callbacks,
                    self._buffer,
                    may_encode=may_encode,
                    answered_s=self._answered_s,
                )
        except TransferError as last:
            task.finish(last)
        else:
            self._answered_s = time.monotonic()
            task.finish()
