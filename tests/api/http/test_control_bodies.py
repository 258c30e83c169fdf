"""Bodies that carry no file: bounded in size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.http.control_bodies import MAX_BYTES, SMALL_BYTES, ControlBodies
from transfer.wire.errors import ClientStalled, ReceiverBusy, TooLarge

FOR_EVER_S = 60.0
MAX_LARGE_BYTES = 3 * MAX_BYTES


def request(blocks: Iterable[bytes | None], length: int | None = None) -> Request:
    """Return a request whose body comes in these blocks; None: the client disconnects; after the last it is silent."""
    messages: list[dict[str, Any]] = [
        {"type": "http.disconnect"} if block is None else {"type": "http.request", "body": block, "more_body": True}
        for block in blocks
    ]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return Request({"type": "http", "method": "PUT", "path": "/", "headers": headers}, receive)


def whole(*blocks: bytes) -> Request:
    """Return a request whose body is complete with the last block."""
    messages = [{"type": "http.request", "body": block, "more_body": True} for block in blocks]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request({"type": "http", "method": "PUT", "path": "/", "headers": []}, receive)


async def read(bodies: ControlBodies, asked: Request, max_bytes: int = MAX_BYTES) -> bytes:
    async with bodies.read(asked, max_bytes) as got:
        return await got.body()


def test_a_body_is_handed_out_whole() -> None:
    assert asyncio.run(read(ControlBodies(FOR_EVER_S, MAX_LARGE_BYTES), whole(b"he", b"", b"llo"))) == b"hello"
    assert asyncio.run(read(ControlBodies(FOR_EVER_S, MAX_LARGE_BYTES), whole(b""))) == b""


def test_a_body_has_at_most_so_many_bytes() -> None:
    bodies = ControlBodies(FOR_EVER_S, MAX_LARGE_BYTES)
    assert asyncio.run(read(bodies, whole(b"1234", b"56"), max_bytes=6)) == b"123456"
    with pytest.raises(TooLarge, match="more than the 6 bytes"):
        asyncio.run(read(bodies, request([b"1234", b"567"]), max_bytes=6))
    with pytest.raises(TooLarge):  # before anything came
        asyncio.run(read(bodies, request([], length=7), max_bytes=6))


def test_a_client_that_is_silent_or_leaves() -> None:
    with pytest.raises(ClientStalled):
        asyncio.run(read(ControlBodies(0.01, MAX_LARGE_BYTES), request([b"he"])))
    with pytest.raises(ClientDisconnect):
        asyncio.run(read(ControlBodies(FOR_EVER_S, MAX_LARGE_BYTES), request([b"he", None])))


def test_large_bodies_share_bounded_memory_and_give_it_back() -> None:
    bodies = ControlBodies(FOR_EVER_S, MAX_LARGE_BYTES)
    large = bytes(MAX_BYTES)

    async def hold(count: int) -> None:
        """Hold so many large bodies at a time, then read small ones."""
        if count:
            async with bodies.read(whole(large), MAX_BYTES):
                await hold(count - 1)
        else:
            assert await read(bodies, whole(bytes(SMALL_BYTES))) == bytes(SMALL_BYTES)

    at_most = MAX_LARGE_BYTES // MAX_BYTES
    for _ in range(2):  # the first round gave everything back
        asyncio.run(hold(at_most))
        with pytest.raises(ReceiverBusy):
            asyncio.run(hold(at_most + 1))
    for broken in (request([large, None]), request([large, b"x"])):
        with pytest.raises((ClientDisconnect, TooLarge)):
            asyncio.run(read(bodies, broken))
    asyncio.run(hold(at_most))
