"""Sends a committed file to a client, which may disconnect at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.store.storage import Storage
from transfer.wire.digest import format_content_digest
from transfer.wire.header_fields import format_content_range
from transfer.wire.protocol import H_CONTENT_RANGE, H_REPR_DIGEST

_BLOCK_BYTES, _SMALL_BLOCK_BYTES = 1 << 20, 64 << 10
"""So much is in memory for each client that reads, however slowly: the smaller one while many read."""
_MANY_READERS = 32


class CommittedFile(Response):
    """The bytes of a file. The file is opened when the answer begins, and closed however the answer ends.

    Parameters
    ----------
    storage
        Where the file is.
    location
        The file, relative to the data folder.
    size_bytes
        Its size.
    etag
        Its ETag.
    span
        Which of its bytes; None: all.
    sha256
        Of the whole file, in hex; None if it is not known yet.
    """

    _readers: ClassVar[int] = 0  # in this process; changed in its event loop only

    def __init__(
        self,
        storage: Storage,
        location: str,
        size_bytes: int,
        etag: str,
        span: range | None,
        *,
        sha256: str | None = None,
    ) -> None:
        super().__init__(media_type="application/octet-stream")
        self._storage = storage
        self._location = location
        self._span = range(size_bytes) if span is None else span
        self.status_code = 200 if span is None else 206
        self._answer_headers = {
            "Content-Length": str(len(self._span)),
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "X-Content-Type-Options": "nosniff",
        }
        if sha256 is not None:
            self._answer_headers[H_REPR_DIGEST] = format_content_digest("sha-256", bytes.fromhex(sha256))
        if span is not None:
            self._answer_headers[H_CONTENT_RANGE] = format_content_range(span, size_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer.

        Raises
        ------
        NotFound
            The file is not on the disk.
        """

        def opener(_location: str, _flags: int) -> int:
            return self._storage.open_committed(self._location)

        async with aiofiles.open(Path(self._location), "rb", buffering=0, opener=opener) as file:
            span = range(0) if scope["method"] == "HEAD" else self._span
            answer = StreamingResponse(
                self._blocks(file, span), self.status_code, self._answer_headers, self.media_type
            )
            CommittedFile._readers += 1
            try:
                await answer(scope, receive, send)
            finally:
                CommittedFile._readers -= 1

    async def _blocks(self, file: AsyncFileIO, span: range) -> AsyncIterator[bytes]:
        await file.seek(span.start)
        rest = len(span)
        while rest and (block := await file.read(min(rest, self._block_bytes()))):
            rest -= len(block)
            yield block

    @classmethod
    def _block_bytes(cls) -> int:
        return _BLOCK_BYTES if cls._readers <= _MANY_READERS else _SMALL_BLOCK_BYTES
