"""Bulk requests: bytes of a source that travel in one PUT, and what carries them.

A carrier (`transfer.connection` over its own socket, `transfer.portable` over httpx) sends a `Put` and later returns
its answer's body; one may send a second before it has read the first one's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlencode
from uuid import UUID

from transfer import protocol
from transfer.digest import format_content_digest
from transfer.source import Source
from transfer.tcp import TcpInfo

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Put:
    """One request: where it goes, and which bytes of which source it carries."""

    target: str  # path and query, quoted
    headers: Mapping[str, str]
    source: Source
    part: range


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
    """Return a route of `transfer.protocol` with its values, quoted."""
    quoted = {key: quote(value, safe="/" if key == "path" else "") for key, value in values.items()}
    return template.replace("{path:path}", "{path}").format(**quoted)


def put_chunk(upload_id: UUID, source: Source, chunk: range, digest: bytes) -> Put:
    """Return the request that carries one chunk of an upload; `digest` is the BLAKE3 digest of its bytes."""
    headers = {protocol.H_CONTENT_RANGE: protocol.format_content_range(chunk, source.size_bytes), **_of_body(digest)}
    return Put(route(protocol.UPLOAD_CONTENT, upload_id=str(upload_id)), headers, source, chunk)


def put_file(session: str, path: str, revision: int, source: Source, digest: bytes) -> Put:
    """Return the request that carries a whole file of at most `SMALL_FILE_BYTES`."""
    target = f"{route(protocol.FILE, session=session, path=path)}?{urlencode({'revision': revision})}"
    return Put(target, _of_body(digest), source, range(source.size_bytes))


def _of_body(digest: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        protocol.H_CONTENT_DIGEST: format_content_digest("blake3", digest),
    }
