"""The requests of one token wait for each other; those of others do not wait behind them."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from uuid import uuid4

import pytest

from api.http import request_turns
from api.http.request_turns import HANDLED_AT_ONCE, LARGE_ANSWERS_AT_ONCE, RequestTurns
from tests.records import record_of_files
from tests.waiting import wait_until
from transfer.wire.errors import ReceiverBusy

MORE_THAN_AT_ONCE = 50


@pytest.fixture
def turns() -> RequestTurns:
    return RequestTurns()


async def _waits(turn: request_turns.Turn) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.02):
            await turn.begin()
            return False
    return True


def test_so_many_are_handled_at_once_and_others_at_once(turns) -> None:
    async def run() -> None:
        first = [turns.of("a", is_known=True) for _ in range(HANDLED_AT_ONCE)]
        assert not any([await _waits(turn) for turn in first])
        late, other = turns.of("a", is_known=True), turns.of("b", is_known=True)
        assert await _waits(late)
        assert not await _waits(other)
        first.pop().end()
        assert not await _waits(late)
        for turn in (*first, late, other):
            turn.end()
        assert turns.clients == 0

    asyncio.run(run())


def test_a_large_answer_leaves_its_thread_to_others_and_is_kept_until_it_was_read(turns) -> None:
    sent: list[int] = []

    async def send(message) -> None:
        sent.append(len(message["body"]))

    async def run() -> None:
        reading = [turns.of("a", is_known=True) for _ in range(LARGE_ANSWERS_AT_ONCE)]
        for turn in reading:
            assert not await _waits(turn)
            await turn.sending(send)({"type": "http.response.body", "body": bytes(200_000)})
        late = turns.of("a", is_known=True)
        assert await _waits(late)
        assert sent[:4] == [65536, 65536, 65536, 200_000 - 3 * 65536]
        reading.pop().end()
        assert not await _waits(late)

    asyncio.run(run())


def test_whoever_would_wait_too_long_is_told_to_come_back(turns, monkeypatch) -> None:
    monkeypatch.setattr(request_turns, "_LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(request_turns, "_MOST_WAITING", 2)

    async def run() -> None:
        first = [turns.of("a", is_known=True) for _ in range(HANDLED_AT_ONCE)]
        for turn in first:
            await turn.begin()
        late = [turns.of("a", is_known=True) for _ in range(3)]
        results = await asyncio.gather(*(turn.begin() for turn in late), return_exceptions=True)
        assert [type(result) for result in results] == [ReceiverBusy] * 3
        for turn in (*first, *late):
            turn.end()
        assert turns.clients == 0

    asyncio.run(run())


def test_who_asks_for_lists_and_reads_none_takes_bounded_memory_and_stops_nobody(
    make_receiver, wire_to, caplog
) -> None:
    receiver = make_receiver()
    wire, other = wire_to(receiver), wire_to(receiver, "reader", None)
    _publish_large_records(wire)
    fields = f"Host: x\r\nAuthorization: {wire.http.headers['authorization']}\r\n\r\n"
    request = f"GET /v1/sessions/s1/exposures HTTP/1.1\r\n{fields}"
    with contextlib.ExitStack() as held:
        links = [held.enter_context(_link(receiver.port)) for _ in range(MORE_THAN_AT_ONCE)]
        for link in links:
            link.sendall(request.encode() * 3)
        wait_until(lambda: len(_answered(links)) >= LARGE_ANSWERS_AT_ONCE, "the large answers", pause_s=0.05)
        # The large answers wait until somebody reads them, which nobody does: who waited behind them had no answer.
        assert other.http.get("/v1/sessions/s1").status_code == 200
        time.sleep(0.3)
        assert len(_answered(links)) == LARGE_ANSWERS_AT_ONCE
    assert wire.http.get("/v1/sessions/s1/exposures").status_code == 200
    deadline = time.monotonic() + 10
    while receiver.app.state.front.turns.clients and time.monotonic() < deadline:
        time.sleep(0.05)
    assert receiver.app.state.front.turns.clients == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def _publish_large_records(wire) -> None:
    receipt = wire.http.put("/v1/files/s1/x.mrc", content=b"x").json()
    warnings = [{"code": "x", "text": "w" * 2000, "frame": None}] * 110
    for number in range(4):
        body = record_of_files(uuid4(), [receipt], warnings=warnings, label=f"x{number}")
        answer = wire.http.put(f"/v1/sessions/s1/exposures/{body['exposure_id']}", json=body)
        assert answer.status_code == 201, answer.text


def _link(port: int) -> socket.socket:
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)  # or the kernel keeps 2 MB that nobody reads
    link.connect(("127.0.0.1", port))
    return link


def _answered(links: list[socket.socket]) -> list[socket.socket]:
    return select.select(links, [], [], 0)[0]
