"""The scheduler runs exchanges over a limited number of connections, and stops a file at its first error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from scripted_connection import ScriptedConnection

from tests.waiting import wait_until
from transfer.connections.contract import Put, SendCallbacks
from transfer.connections.tcp import TcpInfo
from transfer.pace.congestion import CongestionLimits
from transfer.pace.pacer import Priority, pacer_of
from transfer.pace.retrying import RetryPolicy
from transfer.upload.exchange import Exchange
from transfer.upload.grouping import GroupingLimits
from transfer.upload.scheduler import UploadScheduler
from transfer.wire.errors import NameTaken

FORE = (Priority.FOREGROUND, 0)
BODY_BYTES = 100
PUT = Put("target", {}, cast("Any", None), range(BODY_BYTES))
NEAR = TcpInfo(1e-4, 1e-4, 10, 0, 10**9)
LOSSY = [TcpInfo(0.1, 0.1, 1000, lost, 10**6) for lost in range(0, 1000, 10)]


class Link:
    """Makes connections that send at once, and answer what the test wants."""

    def __init__(self, *figures: TcpInfo) -> None:
        self.made: list[Sending] = []
        self.figures = list(figures)

    def connect(self) -> Sending:
        self.made.append(Sending(self))
        return self.made[-1]


class Sending(ScriptedConnection):
    """One connection of a link."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def send(self, put: Put, callbacks: SendCallbacks) -> None:
        super().send(put, callbacks)
        left = put.body_bytes
        while left:
            granted = callbacks.grant(left)
            callbacks.on_sent(granted)
            left -= granted

    def answer(self, check_stop: object) -> bytes:
        return b"ok"

    def info(self) -> TcpInfo | None:
        figures = self._link.figures
        return (figures.pop(0) if len(figures) > 1 else figures[0]) if figures else None


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def make(link: Link) -> Iterator[Any]:
    """Return a function that makes a scheduler over the link, closed at the end."""
    made: list[UploadScheduler] = []

    def make(**options: Any) -> UploadScheduler:
        made.append(UploadScheduler(link.connect, **options))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


def exchange(accept: Any = lambda body: None, prepare: Any = lambda buffer, may_encode: PUT) -> Exchange:
    return Exchange(prepare, accept, RetryPolicy(0, lambda: False))


def test_all_exchanges_run_over_no_more_connections_than_are_allowed(link: Link, make: Any) -> None:
    scheduler, accepted = make(connections=3), list[bytes]()
    for _ in range(2):  # connections stay open from one file to the next
        scheduler.run([exchange(accepted.append) for _ in range(20)], FORE, threading.Event())
    assert accepted == [b"ok"] * 40
    assert 1 <= len(link.made) <= 3
    assert scheduler.network_bytes == 40 * BODY_BYTES


def test_the_first_error_stops_the_file_and_the_next_file_is_sent(make: Any) -> None:
    scheduler, abort, begun = make(connections=1), threading.Event(), list[int]()

    def refuse(body: bytes) -> None:
        raise NameTaken("both")

    def note(number: int) -> Any:
        return lambda buffer, may_encode: begun.append(number) or PUT

    exchanges = [exchange(refuse if number == 1 else lambda body: None, note(number)) for number in range(5)]
    with pytest.raises(NameTaken, match="both"):
        scheduler.run(exchanges, FORE, abort)
    assert begun[:2] == [0, 1]
    assert not abort.is_set()
    scheduler.run([exchange()], FORE, abort)


def test_the_more_urgent_file_is_sent_first(make: Any) -> None:
    scheduler, order = make(connections=1), list[str]()
    begun, may_go_on = threading.Event(), threading.Event()

    def hold(buffer: memoryview, may_encode: bool) -> Put:
        begun.set()
        may_go_on.wait(60)
        return PUT

    def run(urgency: Any, prepare: Any) -> threading.Thread:
        exchanges = [exchange(prepare=prepare)]
        one = threading.Thread(target=scheduler.run, args=(exchanges, urgency, threading.Event()))
        one.start()
        return one

    def note(name: str) -> Any:
        return lambda buffer, may_encode: order.append(name) or PUT

    threads = [run(FORE, hold)]
    assert begun.wait(60)
    fore, back = Priority
    for name, urgency in [("raw", (back, -9)), ("old", (fore, -1)), ("new", (fore, -2))]:
        threads.append(run(urgency, note(name)))
    wait_until(lambda: len(scheduler._queue) == 3, "three files wait")
    may_go_on.set()
    for thread in threads:
        thread.join(60)
    assert order == ["new", "old", "raw"]


def test_a_lossy_link_gets_more_connections_and_bbr(link: Link, make: Any) -> None:
    link.figures = LOSSY
    limits = CongestionLimits(first_connections=1, lossy_connections=2, most_connections=2, interval_s=0)
    scheduler = make(congestion_limits=limits)
    scheduler.run([exchange() for _ in range(50)], FORE, threading.Event())
    assert scheduler.congestion.connections == 2
    assert all("use_bbr" in connection.done for connection in link.made)


@pytest.mark.parametrize(
    ("figures", "limit", "expected"),
    [([NEAR], "unlimited", 4), ([NEAR], "1GB/s", 1), ([LOSSY[0]], "unlimited", 1), ([], "unlimited", 1)],
    ids=["near", "limited", "far", "unknown"],
)
def test_chunks_share_requests_only_on_a_fast_link_to_a_near_receiver(
    link: Link, make: Any, figures: list[TcpInfo], limit: str, expected: int
) -> None:
    link.figures = figures
    fast = GroupingLimits(most_chunks=4, least_bytes_per_s=1)
    scheduler = make(connections=1, pacer=pacer_of(limit), grouping_limits=fast)
    shared: list[int] = []
    exchanges = [exchange(), exchange(lambda body: shared.append(scheduler.chunks_per_request()))]
    scheduler.run(exchanges, FORE, threading.Event(), range(100))
    assert shared == [expected]
