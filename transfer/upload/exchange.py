"""One request with chunks and its answer, repeated as long as that is useful."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from transfer.connections.contract import Connection, Put, SendCallbacks
from transfer.pace.retrying import RetryPolicy
from transfer.wire.errors import ChunkCorrupt, LinkLost, TemporaryError, TransferError

CORRUPT_TRIES = 5


class Exchange:
    """A request that is prepared, sent and answered.

    Parameters
    ----------
    prepare
        Called before each attempt, with a buffer to read through, and with whether the body may be compressed in
        memory. Returns what to send; None if nothing needs to be sent.
    accept
        Called with the body of an answer that is 2xx.
    retry
        How long temporary errors are retried.
    """

    def __init__(
        self, prepare: Callable[[memoryview, bool], Put | None], accept: Callable[[bytes], None], retry: RetryPolicy
    ) -> None:
        self.retry = retry
        self._prepare, self._accept = prepare, accept
        self._generation = -1
        self._sign_s = 0.0  # when it was begun, or bytes of it were taken

    def begin(self, connection: Connection, callbacks: SendCallbacks, buffer: memoryview, *, may_encode: bool) -> bool:
        """Send the request; return whether an answer will come.

        Raises
        ------
        TransferError
        """
        self.retry.check_stop()
        self._note_sign()
        put = self._prepare(buffer, may_encode)
        if put is None:
            return False

        def on_sent(count: int) -> None:
            self._note_sign()
            callbacks.on_sent(count)

        connection.send(put, replace(callbacks, on_sent=on_sent))
        self._generation = connection.generation
        return True

    def finish(self, connection: Connection) -> None:
        """Wait for the answer and accept it.

        Raises
        ------
        TransferError
        """
        if connection.generation != self._generation:
            raise LinkLost("the connection was closed before the answer came")
        self._accept(connection.answer(self.retry.check_stop))

    def _note_sign(self) -> None:
        self._sign_s = self.retry.clock()

    def repeat(
        self,
        error: TransferError,
        connection: Connection,
        callbacks: SendCallbacks,
        buffer: memoryview,
        *,
        may_encode: bool,
        answered_s: float = 0.0,
    ) -> None:
        """Try again after a first error, as long as that is useful; no other request may be without an answer.

        Parameters
        ----------
        answered_s
            When the receiver last answered another request.

        Raises
        ------
        TransferError
        """
        first: list[TransferError] = [error]
        quiet_since_s: float | None = max(self._sign_s, answered_s)

        def attempt() -> None:
            if first:
                raise first.pop()
            if self.begin(connection, callbacks, buffer, may_encode=may_encode):
                self.finish(connection)

        for _ in range(CORRUPT_TRIES - 1):
            try:
                return self.retry.repeat(attempt, quiet_since_s=quiet_since_s)
            except ChunkCorrupt:
                quiet_since_s = None  # it has answered
        return self.retry.repeat(attempt)


def is_worth_repeating(error: TransferError) -> bool:
    """Return whether the same request may succeed another time."""
    return isinstance(error, TemporaryError | ChunkCorrupt)
