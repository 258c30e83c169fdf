"""Bulk requests: bytes of a source that travel in one PUT, and what carries them.

A carrier (`transfer.connections.socket_connection` over its own socket, `transfer.connections.httpx_connection` over
httpx) sends a `Put` and later returns its answer's body; one may send a second before it has read the
first one's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlencode
from uuid import UUID

from transfer.connections.tcp import TcpInfo
from transfer.upload.source import Source
from transfer.wire import protocol
from transfer.wire.digest import CHUNKED, chunk_digest, digest_by_chunks, format_content_digest

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Put:
    """One request: where it goes, and which bytes of which source it carries.

    Attributes
    ----------
    encoded
        The part as it travels, where that is not as it is; from memory instead of from the source.
    """

    target: str  # path and query, quoted
    headers: Mapping[str, str]
    source: Source
    part: range
    encoded: bytes | None = None

    @property
    def body_bytes(self) -> int:
        """The length of the body."""
        return len(self.part) if self.encoded is None else len(self.encoded)

    def read_into(self, buffer: memoryview, position: int) -> None:
        """Fill the buffer with the body's bytes from `position` on.

        Raises
        ------
        SourceChanged, SourceUnreadable
        """
        if self.encoded is None:
            self.source.read_into(buffer, self.part.start + position)
        else:
            buffer[:] = self.encoded[position : position + len(buffer)]


@dataclass(frozen=True, slots=True)
class Flow:
    """What a carrier asks while it sends.

    Parameters
    ----------
    grant
        Called with the number of bytes that are left; waits for its turn and returns how many may be sent now (> 0).
    moved
        Called with the number of bytes that went out.
    check
        Called now and then; raises TransferStopped if somebody wants to stop.
    """

    grant: Callable[[int], int]
    moved: Callable[[int], None]
    check: Callable[[], None]


class Carrier(Protocol):
    """One connection to the receiver, used by one thread at a time.

    `generation` grows whenever it was closed: what was sent in an earlier one, and has no answer yet, never gets one.
    """

    @property
    def generation(self) -> int:
        """How often the connection was closed so far."""

    def send(self, put: Put, flow: Flow) -> None:
        """Send a request.

        Raises
        ------
        TemporaryError, SourceChanged, SourceUnreadable, TransferStopped
            The connection is closed; every request that has no answer yet is to be sent again.
        """

    def answer(self, check: Callable[[], None]) -> bytes:
        """Return the body of the answer to the oldest request that has none yet.

        Raises
        ------
        TransferError
            What the answer tells of, or LinkLost.
        """

    def info(self) -> TcpInfo | None:
        """Return what the kernel tells of the connection, if there is one and it does."""

    def use_bbr(self) -> None:
        """Ask for BBR, now and for every later connection."""

    @property
    def congestion_control(self) -> str | None:
        """The congestion control in use, as far as is known."""

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""


def route(template: str, **values: str) -> str:
    """Return a route of `transfer.wire.protocol` with its values, quoted."""
    quoted = {key: quote(value, safe="/" if key == "path" else "") for key, value in values.items()}
    return template.replace("{path:path}", "{path}").format(**quoted)


def put_chunks(
    upload_id: UUID, source: Source, part: range, digests: Sequence[bytes], encoded: bytes | None = None
) -> Put:
    """Return the request that carries neighbouring chunks of an upload; `digests` are their BLAKE3 digests."""
    content_range = protocol.format_content_range(part, source.size_bytes)
    headers = {protocol.H_CONTENT_RANGE: content_range, **_of_body(digests, encoded)}
    return Put(route(protocol.UPLOAD_CONTENT, upload_id=str(upload_id)), headers, source, part, encoded)


def put_file(
    session: str, path: str, revision: int, source: Source, digest: bytes, encoded: bytes | None = None
) -> Put:
    """Return the request that carries a whole file of at most `SMALL_FILE_BYTES`."""
    target = f"{route(protocol.FILE, session=session, path=path)}?{urlencode({'revision': revision})}"
    headers = _of_body([digest], encoded)
    if encoded is not None:
        headers[protocol.H_UPLOAD_LENGTH] = str(source.size_bytes)
    return Put(target, headers, source, range(source.size_bytes), encoded)


def _of_body(chunk_digests: Sequence[bytes], encoded: bytes | None) -> dict[str, str]:
    """Return the headers that tell of a body; its Content-Digest is of what travels (RFC 9530)."""
    headers = {"Content-Type": "application/octet-stream"}
    if encoded is not None:
        headers[protocol.H_CONTENT_ENCODING] = protocol.ZSTD
        chunk_digests = [chunk_digest(encoded)]
    algorithm = "blake3" if len(chunk_digests) == 1 else CHUNKED
    digest = digest_by_chunks(algorithm, chunk_digests)
    assert digest is not None
    return {**headers, protocol.H_CONTENT_DIGEST: format_content_digest(algorithm, digest)}
