"""Streams a committed file to a client, which may leave at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.storage import Storage

_BLOCK_BYTES = 1 << 20


class CommittedFile(Response):
    """A file's bytes. It is opened when the answer begins, and closed however the answer ends.

    Parameters
    ----------
    storage
        Where the file is.
    location
        The file, relative to the data folder.
    size_bytes
        Its size.
    """

    def __init__(self, storage: Storage, location: str, size_bytes: int) -> None:
        super().__init__(media_type="application/octet-stream")
        self._storage = storage
        self._location = location
        self._size_bytes = size_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer.

        Raises
        ------
        NotFound
            Somebody took the file away.
        """

        def opener(_location: str, _flags: int) -> int:
            return self._storage.open_committed(self._location)

        headers = {"Content-Length": str(self._size_bytes), "X-Content-Type-Options": "nosniff"}
        async with aiofiles.open(Path(self._location), "rb", buffering=0, opener=opener) as file:
            answer = StreamingResponse(_blocks(file, self._size_bytes), headers=headers, media_type=self.media_type)
            await answer(scope, receive, send)


async def _blocks(file: AsyncFileIO, size_bytes: int) -> AsyncIterator[bytes]:
    rest = size_bytes
    while rest and (block := await file.read(min(rest, _BLOCK_BYTES))):
        rest -= len(block)
        yield block
