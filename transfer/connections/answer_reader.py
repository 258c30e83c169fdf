"""Reads the answers on one connection, one after the other, without losing the beginning of the next one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Self

from transfer.connections.answer_limits import ONE_BYTES, AnswerBudget

RECEIVE_BYTES = 1 << 16
_UNTIL_THE_END = ONE_BYTES + 1  # one byte more than any answer may have


class AnswerReader:
    """Gives `http.client.HTTPResponse` what it expects of a socket and of its file.

    If several requests were sent before the first answer, the buffered file that HTTPResponse makes for each answer
    would read the beginning of the next answer and lose it.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._held = bytearray()
        self._budget: AnswerBudget | None = None
        self._check_stop: Callable[[], None] = lambda: None

    def begin(self, budget: AnswerBudget, check_stop: Callable[[], None]) -> None:
        """Begin to read the next answer.

        Parameters
        ----------
        budget
            What it may take.
        check_stop
            Called whenever the socket's timeout is over and nothing has arrived.
        """
        self._budget, self._check_stop = budget, check_stop

    def makefile(self, *_: object) -> Self:
        """Return itself."""
        return self

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def close(self) -> None:
        """Do nothing: the next answer is read from here too."""

    def is_waiting(self) -> bool:
        """Return whether bytes are here already, in this process or in the TLS layer."""
        return bool(self._held) or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0)

    def readline(self, limit: int = ONE_BYTES) -> bytes:
        """Return the bytes up to the next line feed, which is included; at most `limit` bytes."""
        while (end := self._held.find(b"\n") + 1) == 0 and len(self._held) < limit:
            if not self._receive():
                break
        return self._take(min(end or len(self._held), limit))

    def read(self, count: int = -1) -> bytes:
        """Return `count` bytes, fewer if the connection ends; without a count, all until it ends.

        Raises
        ------
        AnswerRefused
            These are more than an answer may have.
        """
        wanted = _UNTIL_THE_END if count is None or count < 0 else min(count, _UNTIL_THE_END)
        while len(self._held) < wanted and self._receive():
            pass
        return self._take(min(wanted, len(self._held)))

    def _receive(self) -> bool:
        """Receive more bytes; return False at the connection's end."""
        while True:
            if self._budget is not None:
                self._budget.left_s()
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except TimeoutError:
                if self._budget is None:
                    raise
                self._check_stop()
                continue
            self._held += data
            return bool(data)

    def _take(self, count: int) -> bytes:
        if self._budget is not None:
            self._budget.spend(count)
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken
