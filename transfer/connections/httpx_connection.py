"""The bulk path over httpx: slower, and at home wherever httpx is, behind an HTTP proxy for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from transfer.connections.contract import Flow, Put
from transfer.wire.errors import TransferError

if TYPE_CHECKING:
    from transfer.client import ReceiverClient
    from transfer.connections.tcp import TcpInfo

PIECE_BYTES = 1 << 19  # httpcore copies what one send() did not take


class PortableCarrier:
    """Sends through the client's own connections, see `transfer.connections.contract.Carrier`."""

    def __init__(self, client: ReceiverClient) -> None:
        self._client = client
        self._answers: deque[bytes | TransferError] = deque()
        self.generation = 0

    @property
    def congestion_control(self) -> str | None:
        """The congestion control in use, as far as is known."""
        return self._client.congestion_control

    def send(self, put: Put, flow: Flow) -> None:
        """Send a request and keep its answer."""
        try:
            self._answers.append(self._client.put(put, _pieces(put, flow)))
        except TransferError as error:
            self._answers.append(error)

    def answer(self, check: Callable[[], None]) -> bytes:
        """Return the body of the next answer, see `Carrier`."""
        check()
        answer = self._answers.popleft()
        if isinstance(answer, TransferError):
            raise answer
        return answer

    def info(self) -> TcpInfo | None:
        """Return None: nothing is known."""
        return None

    def use_bbr(self) -> None:
        """Do nothing: the connections are httpx's."""

    def close(self) -> None:
        """Forget answers; the connections are the client's."""
        self._answers.clear()
        self.generation += 1


def _pieces(put: Put, flow: Flow) -> Iterator[bytes]:
    buffer, position = memoryview(bytearray(PIECE_BYTES)), 0
    while position < put.body_bytes:
        piece = buffer[: flow.grant(min(PIECE_BYTES, put.body_bytes - position))]
        put.read_into(piece, position)
        yield bytes(piece)
        position += len(piece)
        flow.moved(len(piece))
