"""Brings tasks, workers and connections together, for all files that are sent to one receiver.

```
tasks, by priority and age ──▶ worker ⇄ connection      as many as `transfer.pace.congestion` allows
                          └──▶ worker ⇄ connection
```

Connections stay open between tasks and between files. While bytes are sent, one of the workers looks at the kernel's
figures of all connections every 0.1 s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial

from transfer.connections.contract import Connection, SendCallbacks
from transfer.pace.congestion import CongestionLimits, CongestionMonitor
from transfer.pace.pacer import Pacer
from transfer.pace.send_rate import SendRate
from transfer.upload.compression_budget import CompressionBudget
from transfer.upload.connection_pool import ConnectionPool
from transfer.upload.exchange import Exchange
from transfer.upload.grouping import ChunkGrouping, GroupingLimits
from transfer.upload.task_queue import Task, TaskQueue, Urgency
from transfer.upload.worker import Worker


class UploadScheduler:
    """Runs exchanges over as many connections as are useful.

    Parameters
    ----------
    connect
        Returns a new connection.
    connections
        A fixed number of connections; None: the congestion monitor decides.
    pacer
        Decides who may send when; None: everybody at once.
    may_use_bbr
        Whether BBR may be requested.
    congestion_limits, grouping_limits
        The numbers that the decisions depend on.

    Attributes
    ----------
    congestion
        What is known about the link now.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        connections: int | None = None,
        pacer: Pacer | None = None,
        may_use_bbr: bool = True,
        congestion_limits: CongestionLimits | None = None,
        grouping_limits: GroupingLimits | None = None,
    ) -> None:
        limits = congestion_limits or CongestionLimits()
        self.congestion = CongestionMonitor(connections, may_use_bbr=may_use_bbr, limits=limits)
        self._pacer = pacer
        self._lock = threading.Lock()
        self._queue = TaskQueue()
        self._pool = ConnectionPool(connect)
        self._budget = CompressionBudget(self._is_link_slow)
        self._grouping = ChunkGrouping(grouping_limits or GroupingLimits())
        self._rate = SendRate(time.monotonic)
        self._working = 0
        self._threads = ThreadPoolExecutor(connections or limits.most_connections, thread_name_prefix="cryoferry-send")

    def close(self) -> None:
        """Wait for the tasks that are being sent, and close every connection."""
        self._threads.shutdown(cancel_futures=True)
        self._pool.close()

    @property
    def network_bytes(self) -> int:
        """How many bytes of bodies were sent: compressed where that paid, repetitions included."""
        with self._lock:
            return self._rate.total_bytes

    @property
    def congestion_control(self) -> str | None:
        """The congestion controls in use, joined by `+` if there are several; None if none is known."""
        with self._lock:
            return "+".join(sorted(self._pool.congestion_controls())) or None

    def run(self, exchanges: Iterable[Exchange], urgency: Urgency, abort: threading.Event, wanted: Sized = ()) -> None:
        """Run exchanges and return when all are done.

        Parameters
        ----------
        exchanges
            The exchanges of one file.
        urgency
            How urgent they are, compared with those of other files.
        abort
            Set at the first error, until no exchange runs any more.
        wanted
            The chunks that the exchanges have yet to take, if they share chunks among themselves.

        Raises
        ------
        TransferError
            The first one.
        """
        errors: list[BaseException] = []

        def note(future: Future[None]) -> None:
            if not future.cancelled() and (error := future.exception()):
                errors.append(error)
                abort.set()  # at once, by the thread that failed: it takes no further task of this run

        with self._lock:
            self._grouping.add(wanted)
        futures = [self._submit(exchange, urgency) for exchange in exchanges]
        try:
            for future in futures:
                future.add_done_callback(note)
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            abort.set()
            for future in futures:
                future.cancel()
            wait(futures)
            abort.clear()
            with self._lock:
                self._grouping.remove(wanted)
        if errors:
            raise errors[0]

    def chunks_per_request(self) -> int:
        """Return how many neighbouring chunks may share a request now.

        More than one only if the receiver is near and the link fast. When a connection breaks, the whole request is
        sent again, so on a long or slow link a request stays one chunk.
        """
        if self._pacer is not None or not self.congestion.is_near:
            return 1
        with self._lock:
            return self._grouping.chunks_per_request(self._rate.bytes_per_s(), self.congestion.connections)

    # Workers

    def _submit(self, exchange: Exchange, urgency: Urgency) -> Future[None]:
        with self._lock:
            task = self._queue.add(exchange, urgency)
            self._start_worker_if_useful()
        return task.future

    def _start_worker_if_useful(self) -> None:
        """Start one more worker if the limit allows it and a task waits; the lock is held."""
        if self._working < self.congestion.connections and self._queue:
            self._working += 1
            self._threads.submit(self._work)

    def _work(self) -> None:
        with self._lock:
            connection = self._pool.take()
        Worker(connection, self._next_task, self._callbacks_of, self.congestion, self._budget).run()
        with self._lock:
            self._pool.give_back(connection)

    def _next_task(self, may_end: bool) -> Task | None:
        """Return the most urgent task; None if there is none, or if one worker is too many.

        With `may_end`, a worker that gets None has ended and is counted no more.
        """
        with self._lock:
            if self._working <= self.congestion.connections and (task := self._queue.take()):
                return task
            if may_end:
                self._working -= 1
            return None

    # While bytes are sent

    def _is_link_slow(self) -> bool:
        """Return whether the round trip is long, or a limit holds: nothing better is known about the link's rate."""
        return self._pacer is not None or self.congestion.pipelines

    def _callbacks_of(self, task: Task) -> SendCallbacks:
        """Return what a connection calls while it sends a task."""
        check_stop, priority = task.exchange.retry.check_stop, task.urgency[0]
        grant = partial(self._pacer.grant, priority, check_stop=check_stop) if self._pacer else _grant_all
        return SendCallbacks(grant, self._on_sent, check_stop)

    def _on_sent(self, count: int) -> None:
        with self._lock:
            self._rate.add(count)
            if self.congestion.is_due(time.monotonic()):
                self._observe()

    def _observe(self) -> None:
        """Look at all connections, and do what the congestion monitor decides; the lock is held."""
        had_wanted_bbr = self.congestion.wants_bbr
        self.congestion.observe(self._pool.samples(), has_bbr="bbr" in self._pool.congestion_controls())
        if self.congestion.wants_bbr and not had_wanted_bbr:
            self._pool.use_bbr()
        for _ in range(self.congestion.connections - self._working):
            self._start_worker_if_useful()


def _grant_all(left: int) -> int:
    return left
