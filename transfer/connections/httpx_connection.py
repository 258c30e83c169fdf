"""Sends chunks through httpx: slower than a socket of our own, but it works behind an HTTP proxy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from transfer.connections.contract import Put, SendCallbacks
from transfer.connections.tcp import TcpInfo
from transfer.wire.errors import TransferError

PIECE_BYTES = 1 << 19  # httpcore copies what one send() did not take


class HttpxConnection:
    """Sends through connections that belong to an HTTP client; see `transfer.connections.contract.Connection`.

    Parameters
    ----------
    put
        Sends one request, whose body it takes from an iterator, and returns the body of the answer.
    congestion_control_of_client
        Returns the congestion control of the client's connections; None if it is unknown.
    """

    def __init__(
        self, put: Callable[[Put, Iterator[bytes]], bytes], congestion_control_of_client: Callable[[], str | None]
    ) -> None:
        self._put = put
        self._congestion_control_of_client = congestion_control_of_client
        self._answers: deque[bytes | TransferError] = deque()
        self.generation = 0

    @property
    def congestion_control(self) -> str | None:
        """The congestion control of the client's connections; None if it is unknown."""
        return self._congestion_control_of_client()

    def send(self, put: Put, callbacks: SendCallbacks) -> None:
        """Send a request and keep its answer."""
        try:
            self._answers.append(self._put(put, _pieces(put, callbacks)))
        except TransferError as error:
            self._answers.append(error)

    def answer(self, check_stop: Callable[[], None]) -> bytes:
        """Return the body of the next answer, see `Connection`."""
        check_stop()
        answer = self._answers.popleft()
        if isinstance(answer, TransferError):
            raise answer
        return answer

    def info(self) -> TcpInfo | None:
        """Return None: httpx does not show which of its connections a request used."""
        return None

    def use_bbr(self) -> None:
        """Do nothing: the connections belong to httpx."""

    def close(self) -> None:
        """Forget the answers; the connections belong to the client."""
        self._answers.clear()
        self.generation += 1


def _pieces(put: Put, callbacks: SendCallbacks) -> Iterator[bytes]:
    buffer, position = memoryview(bytearray(PIECE_BYTES)), 0
    while position < put.body_bytes:
        piece = buffer[: callbacks.grant(min(PIECE_BYTES, put.body_bytes - position))]
        put.read_into(piece, position)
        yield bytes(piece)
        position += len(piece)
        callbacks.on_sent(len(piece))
