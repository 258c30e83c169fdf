"""The pool of connections that every file's bulk goes through, the most urgent first.

```
tasks, by lane and age ──▶ worker ⇄ connection      as many as `transfer.pace.steering` allows
                      └──▶ worker ⇄ connection
```

A worker takes a task, sends it, and reads its answer; where the way is long it sends the next one before that. Its
connection lives longer than its tasks and its files. Between tasks, every now and then, one of the workers looks at
what the kernel tells of all connections.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from transfer.connections.contract import Carrier, Flow
from transfer.pace.pacing import Lane, Pacer
from transfer.pace.steering import INTERVAL_S, MOST_CONNECTIONS, Outflow, Steering
from transfer.upload.exchange import Exchange, helps_to_repeat
from transfer.wire.errors import TransferError

READ_BYTES = 1 << 18  # through this much memory a worker reads what it hashes: it stays in the processor's cache

MOST_ENCODED = 16  # bodies that are held compressed at a time, of up to a chunk each; others travel as they are

MOST_AT_ONCE = 4  # chunks in one request
# More than a gigabit a second and what the sockets of 16 connections take at once: from here on a request costs more
# than to send a chunk again.
QUICK_BYTES_PER_S = 200e6

Urgency = tuple[Lane, int]
"""Lane, then a number: the smaller, the sooner."""


@dataclass(order=True, slots=True)
class _Task:
    urgency: Urgency
    number: int
    exchange: Exchange = field(compare=False)
    future: Future[None] = field(compare=False, default_factory=Future)

    def end(self, error: BaseException | None = None) -> None:
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class ConnectionPool:
    """Runs exchanges over as many connections as pay.

    Parameters
    ----------
    connect
        Returns a new carrier.
    connections
        A fixed number; None: steered.
    pacer
        Who may send when; None: everybody at once.
    may_use_bbr
        Whether BBR may be asked for.
    """

    def __init__(
        self,
        connect: Callable[[], Carrier],
        *,
        connections: int | None = None,
        pacer: Pacer | None = None,
        may_use_bbr: bool = True,
    ) -> None:
        self.steering = Steering(connections, may_use_bbr=may_use_bbr)
        self._outflow = Outflow(time.monotonic)
        self._wanted: list[Sized] = []
        self._encoding = threading.BoundedSemaphore(MOST_ENCODED)
        self._connect, self._pacer = connect, pacer
        self._lock = threading.Lock()
        self._tasks: list[_Task] = []
        self._numbers = itertools.count()
        self._carriers: list[Carrier] = []
        self._idle: list[Carrier] = []
        self._working = 0
        self._observed_s = float("-inf")  # the first piece that goes out already tells how long the way is
        self._threads = ThreadPoolExecutor(connections or MOST_CONNECTIONS, thread_name_prefix="cryoferry-send")

    def close(self) -> None:
        """Wait for what is on its way, and close every connection."""
        self._threads.shutdown(cancel_futures=True)
        for carrier in self._carriers:
            carrier.close()

    @property
    def congestion_control(self) -> str | None:
        """The congestion controls in use, joined by `+` where there are several; None where none is known."""
        with self._lock:
            names = {carrier.congestion_control for carrier in self._carriers} - {None}
        return "+".join(sorted(filter(None, names))) or None

    def run(self, exchanges: Iterable[Exchange], urgency: Urgency, abort: threading.Event, wanted: Sized = ()) -> None:
        """Run exchanges and return when all are done; at the first error `abort` is set until none runs any more.

        Parameters
        ----------
        wanted
            The chunks that the exchanges have yet to take, where they share them out among themselves.

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
            self._wanted.append(wanted)  # known by identity: two files may want equal chunks
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
                self._wanted = [other for other in self._wanted if other is not wanted]
        if errors:
            raise errors[0]

    def chunks_at_once(self) -> int:
        """Return how many neighbouring chunks may share a request now, so that every connection has something to do.

        More than one only where the receiver is near and the link quick: what was on its way when it broke is sent
        again, and on a long or slow way that stays one chunk a request.
        """
        if self._pacer is not None or not self.steering.is_near:
            return 1
        with self._lock:
            if self._outflow.bytes_per_s() < QUICK_BYTES_PER_S:
                return 1
            return min(MOST_AT_ONCE, max(1, sum(map(len, self._wanted)) // self.steering.connections))

    # Who works

    def _submit(self, exchange: Exchange, urgency: Urgency) -> Future[None]:
        task = _Task(urgency, next(self._numbers), exchange)
        with self._lock:
            heapq.heappush(self._tasks, task)
            self._hire()
        return task.future

    def _hire(self) -> None:
        """Set another worker to work if there may be one and there is something to do; the lock is held."""
        if self._working < min(self.steering.connections, self._working + len(self._tasks)):
            self._working += 1
            self._threads.submit(self._work)

    def next_task(self, *, may_leave: bool) -> _Task | None:
        """Return the most urgent task; None where there is none or one worker too many (who has left by then)."""
        with self._lock:
            while self._tasks and self._working <= self.steering.connections:
                task = heapq.heappop(self._tasks)
                if task.future.set_running_or_notify_cancel():
                    return task
            if may_leave:
                self._working -= 1
            return None

    def _work(self) -> None:
        with self._lock:
            carrier = self._idle.pop() if self._idle else self._connect()
            if carrier not in self._carriers:
                self._carriers.append(carrier)
                if self.steering.wants_bbr:
                    carrier.use_bbr()
        _Worker(self, carrier).work()
        with self._lock:
            self._idle.append(carrier)

    @contextmanager
    def room_to_encode(self) -> Iterator[bool]:
        """Tell whether a body may be held in memory, encoded: there is room, and the link is slow.

        It is as far as is known if the way is long or somebody set a cap; otherwise a processor compresses no faster.
        """
        room = (self._pacer is not None or self.steering.pipelines) and self._encoding.acquire(blocking=False)
        try:
            yield room
        finally:
            if room:
                self._encoding.release()

    # How it goes

    def flow(self, task: _Task) -> Flow:
        """Return what a carrier asks while it sends a task."""
        check, lane = task.exchange.patience.check, task.urgency[0]
        grant = partial(self._pacer.grant, lane, check=check) if self._pacer else _all_at_once
        return Flow(grant, self._moved, check)

    def _moved(self, count: int) -> None:
        with self._lock:
            self._outflow.note(count)
            now_s = time.monotonic()
            if now_s - self._observed_s < INTERVAL_S:
                return
            self._observed_s = now_s
            self._observe()

    def _observe(self) -> None:
        samples = [(number, info) for number, carrier in enumerate(self._carriers) if (info := carrier.info())]
        has_bbr = any(carrier.congestion_control == "bbr" for carrier in self._carriers)
        had_wanted = self.steering.wants_bbr
        self.steering.observe(samples, has_bbr=has_bbr)
        if self.steering.wants_bbr and not had_wanted:
            for carrier in self._carriers:
                carrier.use_bbr()
        for _ in range(self.steering.connections - self._working):
            self._hire()


class _Worker:
    """Works off tasks over one connection until there are none."""

    def __init__(self, pool: ConnectionPool, carrier: Carrier) -> None:
        self._pool, self._carrier = pool, carrier
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._unanswered: deque[_Task] = deque()
        self._failed: list[tuple[_Task, TransferError]] = []

    def work(self) -> None:
        task = None
        try:
            while (task := self._pool.next_task(may_leave=not self._unanswered)) or self._unanswered:
                if task:
                    self._begin(task)
                in_hand = 1 if task and self._pool.steering.pipelines and not self._failed else 0
                while len(self._unanswered) > in_hand:
                    self._finish(self._unanswered.popleft())
                while self._failed:
                    self._repeat(*self._failed.pop(0))
        finally:  # whatever happened here: nobody waits for ever
            left = [*([task] if task else []), *self._unanswered, *(failed for failed, _ in self._failed)]
            for orphan in left:
                if not orphan.future.done():
                    orphan.end(sys.exception() or RuntimeError("its worker ended"))

    def _begin(self, task: _Task) -> None:
        try:
            with self._pool.room_to_encode() as room:
                sent = task.exchange.begin(self._carrier, self._pool.flow(task), self._buffer, may_encode=room)
            if sent:
                self._unanswered.append(task)
            else:
                task.end()
        except TransferError as error:
            self._judge(task, error)

    def _finish(self, task: _Task) -> None:
        try:
            task.exchange.finish(self._carrier)
        except TransferError as error:
            self._judge(task, error)
        else:
            task.end()

    def _judge(self, task: _Task, error: TransferError) -> None:
        if helps_to_repeat(error):
            self._failed.append((task, error))  # its turn comes when nothing is unanswered
        else:
            task.end(error)

    def _repeat(self, task: _Task, error: TransferError) -> None:
        try:
            flow = self._pool.flow(task)
            with self._pool.room_to_encode() as room:
                task.exchange.repeat(error, self._carrier, flow, self._buffer, may_encode=room)
        except TransferError as last:
            task.end(last)
        else:
            task.end()


def _all_at_once(left: int) -> int:
    return left
