"""Reads the answers on one connection, one after the other, without losing the beginning of the next one."""

from __future__ import annotations

import socket
import ssl
from typing import Self

RECEIVE_BYTES = 1 << 16
LONGEST_ANSWER_BYTES = 1 << 20  # answers to requests with chunks are far shorter


class AnswerReader:
    """Gives `http.client.HTTPResponse` what it expects of a socket and of its file.

    If several requests were sent before the first answer, the buffered file that HTTPResponse makes for each answer
    would read the beginning of the next answer and lose it.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._held = bytearray()

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

    def readline(self, limit: int = LONGEST_ANSWER_BYTES) -> bytes:
        """Return the bytes up to the next line feed, which is included; at most `limit` bytes."""
        while (end := self._held.find(b"\n") + 1) == 0 and len(self._held) < limit:
            if not self._receive():
                break
        return self._take(min(end or len(self._held), limit))

    def read(self, count: int = -1) -> bytes:
        """Return `count` bytes, fewer if the connection ends; without a count, all until it ends."""
        wanted = LONGEST_ANSWER_BYTES if count is None or count < 0 else count
        if wanted > LONGEST_ANSWER_BYTES:
            raise ValueError(f"an answer of {wanted} bytes is too long")
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
