"""A cheap source of floods over TLS: one thread, paced; `python -m tests.faults.flooding`, plan as JSON on stdin.

It writes one line when all connections are there. It ends when stdin does, and writes what it did and its CPU time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
PIECE = os.urandom(64 << 10)
PIECES, PIECE_EVERY_S = 16, 0.5  # an upload of 1 MiB
OTHERS_EVERY_S = 0.2
HELD_EVERY_S = 10.0  # connections that were closed to make room

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Floods:
    """The floods of one plan."""

    port: int
    ca: str
    token: str
    record: dict[str, Any]
    counts: dict[str, int]
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.trusting = ssl.create_default_context(cafile=self.ca)
        self.uploading = 0

    async def connect(self) -> Link:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trusting)

    async def answer(self, reader: asyncio.StreamReader) -> int:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        await reader.readexactly(int(fields.get(b"content-length", b"0")))
        return int(head.split(b" ", 2)[1])

    def put(self, path: str, size_bytes: int, kind: str = "application/octet-stream", *, token: bool = True) -> bytes:
        text = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {size_bytes}\r\n"
        return (text + (f"Authorization: Bearer {self.token}\r\n\r\n" if token else "\r\n")).encode()

    async def uploads(self, link: Link) -> None:
        reader, writer = link
        self.uploading += 1
        try:
            while True:
                writer.write(self.put(f"/v1/files/s1/flood/{uuid4()}", PIECES * len(PIECE)))
                for _ in range(PIECES):
                    writer.write(PIECE)
                    await writer.drain()
                    await asyncio.sleep(PIECE_EVERY_S)
                self.done[f"uploads answered {await self.answer(reader)}"] += 1
        finally:
            self.uploading -= 1

    async def trailers(self, link: Link) -> None:
        link[1].write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        for _ in range(100):
            link[1].write(b"X-Trailer: " + b"x" * 10_000 + b"\r\n")
            await link[1].drain()
        await link[0].read(1000)
        self.done["trailers"] += 1

    async def json(self, link: Link) -> None:
        link[1].write(self.put(f"/v1/sessions/s1/exposures/{uuid4()}", 4_000_000, "application/json", token=False))
        link[1].write(b"[" * 4_000_000)
        self.done[f"JSON without token answered {await self.answer(link[0])}"] += 1

    async def records(self, link: Link) -> None:
        for padding_bytes in (250_000, 3_800_000):  # within what a record may have, and beyond
            name = str(uuid4())
            record = self.record | {"exposure_id": name, "movie": f"{name}.tiff", "label": name}
            body = json.dumps(record | {"unknown": "x" * padding_bytes}).encode()
            link[1].write(self.put(f"/v1/sessions/s1/exposures/{name}", len(body), "application/json") + body)
            self.done[f"records of {len(body) // 100_000 / 10} MB answered {await self.answer(link[0])}"] += 1

    async def log(self, link: Link) -> None:
        link[1].write(b"\0nonsense\r\n\r\n")
        await link[0].read(1000)
        self.done["nonsense"] += 1

    async def idle(self, link: Link) -> None:
        await link[0].read(1000)

    async def slow(self, link: Link) -> None:
        link[1].write(HEAD)
        for _ in range(1000):
            await asyncio.sleep(5)
            link[1].write(b"X")
            await link[1].drain()

    async def again(self, act: Callable[[Link], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # refused, cut off, made room for
                link = await self.connect()
                try:
                    await act(link)
                finally:
                    link[1].transport.abort()
            await asyncio.sleep(HELD_EVERY_S if act in (self.idle, self.slow) else OTHERS_EVERY_S)

    async def run(self) -> None:
        tasks = []
        for kind, count in self.counts.items():
            for _ in range(count):
                tasks.append(asyncio.create_task(self.again(getattr(self, kind))))
                await asyncio.sleep(0.005)
        while self.uploading < self.counts["uploads"]:
            await asyncio.sleep(0.05)
        sys.stdout.write("flooding\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    floods = Floods(**json.loads(sys.stdin.readline()))
    asyncio.run(floods.run())
    sys.stdout.write(json.dumps({**floods.done, "CPU s of the floods": round(time.process_time())}))


if __name__ == "__main__":
    main()
