"""What a receiver answers on one connection, read so that nothing of the next answer is lost."""

from __future__ import annotations

import socket
import ssl
from typing import Self

RECEIVE_BYTES = 1 << 16
LONGEST_ANSWER_BYTES = 1 << 20  # no answer to a bulk request comes near


class AnswerReader:
    """Stands for the socket, and for its file, towards `http.client.HTTPResponse`.

    A buffered file for each answer would swallow the beginning of the next one when requests are pipelined.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._held = bytearray()

    def makefile(self, *_: object) -> Self:
        """Return itself."""
        return self

    def flush(self) -> None:
        """Do nothing: it is only read."""

    def close(self) -> None:
        """Stay open for the next answer."""

    def is_waiting(self) -> bool:
        """Return whether something can be read without asking the socket's file descriptor."""
        return bool(self._held) or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0)

    def readline(self, limit: int = LONGEST_ANSWER_BYTES) -> bytes:
        """Return what comes up to and with the next line feed, at most `limit` bytes."""
        while (end := self._held.find(b"\n") + 1) == 0 and len(self._held) < limit:
            if not self._receive():
                break
        return self._take(min(end or len(self._held), limit))

    def read(self, count: int = -1) -> bytes:
        """Return `count` bytes, less where the connection ends; without a count all until then."""
        wanted = LONGEST_ANSWER_BYTES if count is None or count < 0 else count
        if wanted > LONGEST_ANSWER_BYTES:
            raise ValueError(f"an answer of {wanted} bytes")
        while len(self._held) < wanted and self._receive():
            pass
        return self._take(min(wanted, len(self._held)))

    def _receive(self) -> bool:
        data = self._socket.recv(RECEIVE_BYTES)
        self._held += data
        return bool(data)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken
