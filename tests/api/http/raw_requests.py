"""Requests as bytes, and what a receiver answers to them."""

from __future__ import annotations

import contextlib
import socket


def answers_to(port: int, sent: bytes, *, half_close: bool = True) -> bytes:
    """Send bytes on a connection of its own, and return all that comes until the receiver closes it."""
    told = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link, contextlib.suppress(ConnectionError):
        link.sendall(sent)
        if half_close:
            link.shutdown(socket.SHUT_WR)
        while block := link.recv(65536):
            told += block
    return told


def status_of(answer: bytes) -> int:
    """Return the status of the first answer; 0: there was none."""
    return int(answer.split()[1]) if answer else 0
