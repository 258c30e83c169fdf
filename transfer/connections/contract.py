"""What a connection for chunks can do, and what it is asked to send.

`transfer.connections.socket_connection` implements `Connection` over a socket of our own,
`transfer.connections.httpx_connection` over httpx. A connection sends a `Put` and later returns the body of its answer.
A second request may be sent before the first answer has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from transfer.connections.tcp import TcpInfo
from transfer.source import Source

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Put:
    """One PUT request: where it goes, and which bytes of which source it carries.

    Attributes
    ----------
    target
        Path and query, quoted for a URL.
    headers
        The headers of this request alone.
    source, part
        The file, and the range of its bytes.
    encoded
        The part as it is compressed for the network. None: the bytes of the source are sent unchanged.
    """

    target: str
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
class SendCallbacks:
    """What a connection calls while it sends.

    Parameters
    ----------
    grant
        Called with the number of bytes that are left. Waits until some may be sent, and returns how many (> 0).
    on_sent
        Called with the number of bytes that the kernel, or httpx, has taken.
    check_stop
        Called at least every 0.25 s. Raises TransferStopped when the caller wants to stop.
    """

    grant: Callable[[int], int]
    on_sent: Callable[[int], None]
    check_stop: Callable[[], None]


class Connection(Protocol):
    """One connection to the receiver, used by one thread at a time."""

    @property
    def generation(self) -> int:
        """How often the connection was closed.

        A request that was sent in an earlier generation, and has no answer yet, never gets one.
        """

    def send(self, put: Put, callbacks: SendCallbacks) -> None:
        """Send a request.

        Raises
        ------
        TemporaryError, SourceChanged, SourceUnreadable, TransferStopped
            The connection is closed. Every request without an answer must be sent again.
        """

    def answer(self, check_stop: Callable[[], None]) -> bytes:
        """Return the body of the answer to the oldest request that has no answer yet.

        Raises
        ------
        TransferError
            The error that the answer names, or LinkLost.
        """

    def info(self) -> TcpInfo | None:
        """Return the kernel's figures for the connection; None if it is not open or the kernel gives none."""

    def use_bbr(self) -> None:
        """Ask the kernel for BBR, now and whenever the connection is opened again."""

    @property
    def congestion_control(self) -> str | None:
        """The congestion control in use; None if it is unknown."""

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
