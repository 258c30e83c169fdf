"""A TCP proxy that damages what a client sends: a given number of faults, placed by a seed.

    with ChaosProxy(port, seed=1, flips=5, cuts=3) as proxy:
        client = ReceiverClient(f"http://127.0.0.1:{proxy.port}", token)

Faults happen at points counted in bytes over all connections, so that every one of them happens whatever the timing,
and only in bodies: what a flipped header would do is another protocol's duty (TLS).
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
from types import TracebackType
from typing import Self

BLOCK_BYTES = 1 << 16


class Broken(Exception):
    """This connection is to be reset."""


class ChaosProxy:
    """Stands before a server on this machine.

    Parameters
    ----------
    target_port
        Where the server listens; may be changed while the proxy runs.
    within_bytes
        The faults are spread over the first so many bytes that clients send.
    flips, cuts, stalls
        How many bits are flipped, connections reset, and connections held for `stall_s` s.
    bytes_per_s
        How fast each connection takes what clients send; None: as fast as it comes.
    lose_answers
        Which pieces of answers (counted from 1) are swallowed, and their connections reset.

    Attributes
    ----------
    sent_bytes
        What clients have sent so far, headers included.
    happened
        How often each kind of fault happened.
    """

    def __init__(
        self,
        target_port: int,
        *,
        seed: int = 0,
        within_bytes: int = 1,
        flips: int = 0,
        cuts: int = 0,
        stalls: int = 0,
        stall_s: float = 0.0,
        bytes_per_s: float | None = None,
        lose_answers: Collection[int] = (),
    ) -> None:
        self.target_port = target_port
        self.sent_bytes = 0
        self.happened: Counter[str] = Counter()
        self._random = random.Random(seed)
        kinds = ["flip"] * flips + ["cut"] * cuts + ["stall"] * stalls
        self._planned = sorted((self._random.randrange(within_bytes), kind) for kind in kinds)
        self._stall_s = stall_s
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
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._up(reader, to_server))
                ways.create_task(self._down(from_server, writer))
        except* (OSError, Broken):
            for end in ends:
                _reset(end)
        finally:
            for end in ends:
                end.close()
            self._connections.discard(task)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(BLOCK_BYTES):
            self.sent_bytes += len(block)
            if self._bytes_per_s:
                await asyncio.sleep(len(block) / self._bytes_per_s)
            is_body = b" HTTP/1.1\r\n" not in block
            while is_body and self._planned and self._planned[0][0] <= self.sent_bytes:
                kind = self._planned.pop(0)[1]
                self.happened[kind] += 1
                if kind == "cut":
                    raise Broken
                if kind == "stall":
                    await asyncio.sleep(self._stall_s)
                else:
                    block = self._flipped(block)
            writer.write(block)
            await writer.drain()
        writer.write_eof()

    def _flipped(self, block: bytes) -> bytes:
        place, bit = self._random.randrange(len(block)), 1 << self._random.randrange(8)
        return block[:place] + bytes([block[place] ^ bit]) + block[place + 1 :]

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(BLOCK_BYTES):
            self._answers += 1
            if self._answers in self._lose_answers:
                self.happened["lost answer"] += 1
                raise Broken
            writer.write(block)
            await writer.drain()
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once, whatever is on its way."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
