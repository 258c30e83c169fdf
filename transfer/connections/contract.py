"""Bulk requests: bytes of a source that travel in one PUT, and what carries them.

A carrier (`transfer.connections.socket_connection` over its own socket, `transfer.connections.httpx_connection` over
httpx) sends a `Put` and later returns its answer's body; one may send a second before it has read the
first one's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from transfer.connections.tcp import TcpInfo
from transfer.upload.source import Source

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
