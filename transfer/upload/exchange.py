"""One bulk request and its answer, repeated as long as that helps."""

from __future__ import annotations

from collections.abc import Callable

from transfer.connections.contract import Carrier, Flow, Put
from transfer.pace.retrying import Patience
from transfer.wire.errors import ChunkCorrupt, LinkLost, TemporaryError, TransferError

CORRUPT_TRIES = 5


class Exchange:
    """A request that is made ready, sent and answered.

    Parameters
    ----------
    prepare
        Called before each attempt with a buffer to read through, and whether the body may be held in memory, encoded:
        returns what to send; None: nothing need be sent.
    accept
        Called with the body of a good answer.
    patience
        How long temporary errors are borne.
    """

    def __init__(
        self, prepare: Callable[[memoryview, bool], Put | None], accept: Callable[[bytes], None], patience: Patience
    ) -> None:
        self.patience = patience
        self._prepare, self._accept = prepare, accept
        self._generation = -1

    def begin(self, carrier: Carrier, flow: Flow, buffer: memoryview, *, may_encode: bool) -> bool:
        """Send the request; return whether there is an answer to wait for.

        Raises
        ------
        TransferError
        """
        self.patience.check()
        put = self._prepare(buffer, may_encode)
        if put is None:
            return False
        carrier.send(put, flow)
        self._generation = carrier.generation
        return True

    def finish(self, carrier: Carrier) -> None:
        """Take in the answer.

        Raises
        ------
        TransferError
        """
        if carrier.generation != self._generation:
            raise LinkLost("the connection was closed before the answer")
        self._accept(carrier.answer(self.patience.check))

    def repeat(
        self, error: TransferError, carrier: Carrier, flow: Flow, buffer: memoryview, *, may_encode: bool
    ) -> None:
        """Try again after a first error for as long as that helps; no other request may be without answer.

        Raises
        ------
        TransferError
        """
        first: list[TransferError] = [error]

        def attempt() -> None:
            if first:
                raise first.pop()
            if self.begin(carrier, flow, buffer, may_encode=may_encode):
                self.finish(carrier)

        for _ in range(CORRUPT_TRIES - 1):
            try:
                return self.patience.repeat(attempt)
            except ChunkCorrupt:
                continue
        return self.patience.repeat(attempt)


def helps_to_repeat(error: TransferError) -> bool:
    """Return whether the same request may go well another time."""
    return isinstance(error, TemporaryError | ChunkCorrupt)
