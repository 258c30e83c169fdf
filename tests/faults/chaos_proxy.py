"""A TCP proxy that damages what a client sends, or what it is answered: a given number of faults, placed by a seed.

    with ChaosProxy(port, seed=1, flips=5, cuts=3) as proxy:
        client = ReceiverClient(f"http://127.0.0.1:{proxy.port}", token)

Faults happen at points counted in bytes over all connections, so that every one of them happens whatever the timing,
and only in bodies: what a flipped header would do is another protocol's duty (TLS).

A connection that is half open (`vanish`, `deaf`, `mute`) stays so until the proxy ends: the other side is gone without
a farewell, both sockets stay open, and nobody reads what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

BLOCK_BYTES = 1 << 16


HALF_OPEN = {"vanish": ("up", "down"), "deaf": ("up",), "mute": ("down",)}
"""Which ways nothing goes any more: both, that of the requests, that of the answers."""


class Broken(Exception):
    """This connection is to be reset."""


@dataclass
class Way:
    """One direction of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_silent: bool = False
    until_s: float = 0.0  # when its last block is due on the other side, by the loop's clock


class ChaosProxy:
    """Stands before a server on this machine.

    Parameters
    ----------
    target_port
        Where the server listens; may be changed while the proxy runs.
    damages
        Whether faults happen to what clients send ("up"), or to what they are answered ("down").
    within_bytes
        The faults are spread over the first so many bytes that go that way.
    flips, cuts, stalls
        How many bits are flipped, connections reset, and connections held for `stall_s` s.
    half_open
        Kinds of connections whose other side is not there any more, one each, see `HALF_OPEN`.
    delay_s
        How long each block is on its way, in each direction.
    bytes_per_s
        How fast each connection takes what goes the way that is damaged; None: as fast as it comes.
    lose_answers
        Which pieces of answers (counted from 1) are swallowed, and their connections reset.

    Attributes
    ----------
    sent_bytes, answered_bytes
        What clients have sent, and were answered, so far, headers included.
    happened
        How often each kind of fault happened.
    """

    def __init__(
        self,
        target_port: int,
        *,
        seed: int = 0,
        damages: Literal["up", "down"] = "up",
        within_bytes: int = 1,
        flips: int = 0,
        cuts: int = 0,
        stalls: int = 0,
        stall_s: float = 0.0,
        half_open: Collection[str] = (),
        delay_s: float = 0.0,
        bytes_per_s: float | None = None,
        lose_answers: Collection[int] = (),
    ) -> None:
        self.target_port = target_port
        self.sent_bytes = self.answered_bytes = 0
        self.happened: Counter[str] = Counter()
        self._random = random.Random(seed)
        kinds = ["flip"] * flips + ["cut"] * cuts + ["stall"] * stalls + list(half_open)
        self._planned = sorted((self._random.randrange(within_bytes), kind) for kind in kinds)
        self._damages = damages
        self._stall_s, self._delay_s = stall_s, delay_s
        self._bytes_per_s = bytes_per_s
        self._lose_answers = set(lose_answers)
        self._answers = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=BLOCK_BYTES)

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        ends = [writer]
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target_port, limit=BLOCK_BYTES)
            ends.append(to_server)
            ways = {"up": Way(reader, to_server), "down": Way(from_server, writer)}
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(ways))
                both.create_task(self._down(ways))
        except* (OSError, Broken):
            for end in ends:
                _reset(end)
        finally:
            for end in ends:
                end.close()
            self._connections.discard(task)

    async def _up(self, ways: dict[str, Way]) -> None:
        while block := await ways["up"].reader.read(BLOCK_BYTES):
            self.sent_bytes += len(block)
            if self._damages == "up":
                is_body = b" HTTP/1.1\r\n" not in block
                block = await self._damaged(block, ways, self.sent_bytes if is_body else -1)
            await self._pass_on(block, ways["up"])
        await self._pass_on(b"", ways["up"])

    async def _down(self, ways: dict[str, Way]) -> None:
        while block := await ways["down"].reader.read(BLOCK_BYTES):
            self.answered_bytes += len(block)
            self._answers += 1
            if self._answers in self._lose_answers:
                self.happened["lost answer"] += 1
                raise Broken
            if self._damages == "down":
                is_body = not block.startswith(b"HTTP/1.1 ")
                block = await self._damaged(block, ways, self.answered_bytes if is_body else -1)
            await self._pass_on(block, ways["down"])
        await self._pass_on(b"", ways["down"])

    async def _damaged(self, block: bytes, ways: dict[str, Way], place: int) -> bytes:
        """Return what becomes of a block that ends at a place of the way that is damaged."""
        if self._bytes_per_s:
            await asyncio.sleep(len(block) / self._bytes_per_s)
        while self._planned and self._planned[0][0] <= place:
            kind = self._planned.pop(0)[1]
            self.happened[kind] += 1
            if kind == "cut":
                raise Broken
            if kind == "stall":
                await asyncio.sleep(self._stall_s)
            elif kind == "flip":
                block = self._flipped(block)
            for silent in HALF_OPEN.get(kind, ()):
                ways[silent].is_silent = True
        return block

    def _flipped(self, block: bytes) -> bytes:
        place, bit = self._random.randrange(len(block)), 1 << self._random.randrange(8)
        return block[:place] + bytes([block[place] ^ bit]) + block[place + 1 :]

    async def _pass_on(self, block: bytes, way: Way) -> None:
        """Hand a block, or the end of all, to the other side when it is due."""
        if way.is_silent:
            await asyncio.Event().wait()  # for ever: until the proxy ends
        if not self._delay_s:
            _write(block, way)
            await way.writer.drain()
            return
        way.until_s = max(self._loop.time() + self._delay_s, way.until_s + 1e-6)  # never before the block before it
        self._loop.call_at(way.until_s, _write, block, way)


def _write(block: bytes, way: Way) -> None:
    if way.writer.is_closing():
        return
    if block:
        way.writer.write(block)
    else:
        way.writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once, whatever is on its way."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
