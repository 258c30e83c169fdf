"""A server that answers with the bytes, and at the pace, that a test chooses."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

DRIP_S = 0.05
Script = Callable[[socket.socket, threading.Event], None]
"""Answers one request on a connection, until the event is set."""


@contextmanager
def raw_server(script: Script) -> Iterator[str]:
    """Serve each request by a script and yield the URL; a connection ends with its answer."""
    over, threads = threading.Event(), list[threading.Thread]()

    def serve(connected: socket.socket) -> None:
        with connected, suppress(OSError):
            connected.settimeout(10)
            request = b""
            while b"\r\n\r\n" not in request:
                if not (data := connected.recv(1 << 16)):
                    return
                request += data
            script(connected, over)

    def accept() -> None:
        while True:
            connected, _ = listening.accept()
            if over.is_set():
                return connected.close()
            threads.append(threading.Thread(target=serve, args=(connected,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            socket.create_connection(listening.getsockname()).close()
            for thread in (accepting, *threads):
                thread.join()


def drip(begin: bytes, endless: bytes = b" ") -> Script:
    """Return a script that sends `begin` at once and then a few bytes each `DRIP_S`."""

    def script(connected: socket.socket, over: threading.Event) -> None:
        connected.sendall(begin)
        while not over.wait(DRIP_S):
            connected.sendall(endless)

    return script


def flood(begin: bytes, endless: bytes) -> Script:
    """Return a script that sends `begin` and then a block of bytes again and again, as fast as they are taken."""

    def script(connected: socket.socket, over: threading.Event) -> None:
        connected.sendall(begin)
        while not over.is_set():
            connected.sendall(endless)

    return script


def gzip_bomb() -> tuple[bytes, bytes]:
    """Return the beginning of a gzip stream, and a block of it that may follow any number of times: 1 MB in 1 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    first = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    return first, packer.compress(b" " * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH)


def head(*fields: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer in JSON."""
    return "\r\n".join((f"HTTP/1.1 {status}", "Content-Type: application/json", *fields, "", "")).encode()
