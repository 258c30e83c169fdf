"""Small proxies that work: CONNECT over HTTP, and SOCKS5; each counts what went through it."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Refused(Exception):
    """The client is not served."""


class RealProxy:
    """A proxy in threads.

    Parameters
    ----------
    kind
        `connect`, `socks5`, or `ending`, which ends each connection.
    login
        The name and the password that it asks for; None: it asks for none.
    status
        What a CONNECT is answered with.
    """

    def __init__(self, kind: str, login: tuple[str, str] | None = None, status: str = "200 OK") -> None:
        self.kind, self.login, self.status = kind, login, status
        self.targets: list[str] = []
        self.passed_bytes = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._is_over = False
        self._start(self._accept)

    def _start(self, target: object, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))  # type: ignore[arg-type]
        self._threads[-1].start()

    def close(self) -> None:
        """End every connection and thread."""
        self._is_over = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._threads[0].join()
        for connected in self._open:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connected in (self._listening, *self._open):
            connected.close()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            self._open.append(client)
            if self._is_over:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            if self.kind == "ending":
                client.recv(64)  # closed with bytes unread, the system may reset the connection instead of ending it
                raise Refused
            host, port = self._connect(client) if self.kind == "connect" else self._socks(client)
            self.targets.append(f"{host}:{port}")
            server = socket.create_connection(("127.0.0.1", port))
            self._open.append(server)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if self.kind == "connect" else b"\5\0\0\1" + bytes(6))
            self._start(self._pump, server, client)
            self._pump(client, server)
        except (OSError, Refused):
            client.close()

    def _connect(self, client: socket.socket) -> tuple[str, int]:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := client.recv(4096)):
                raise Refused
            head += data
            if not head.startswith(b"CONNECT"[: len(head)]):
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                raise Refused
        wanted = self.login and f"Basic {base64.b64encode(':'.join(self.login).encode()).decode()}"
        if wanted and wanted not in head.decode():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            raise Refused
        if not self.status.startswith("200"):
            client.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
            raise Refused
        host, _, port = head.split()[1].decode().rpartition(":")
        return host, int(port)

    def _socks(self, client: socket.socket) -> tuple[str, int]:
        count = self._exactly(client, 2)[1]
        methods, method = self._exactly(client, count), 2 if self.login else 0
        client.sendall(bytes((5, method if method in methods else 255)))
        if self.login:
            name = self._exactly(client, self._exactly(client, 2)[1]).decode()
            password = self._exactly(client, self._exactly(client, 1)[0]).decode()
            client.sendall(bytes((1, (name, password) != self.login)))
        kind = self._exactly(client, 4)[3]
        if kind == 1:
            host = socket.inet_ntoa(self._exactly(client, 4))
        else:
            host = self._exactly(client, self._exactly(client, 1)[0]).decode()
        return host, struct.unpack(">H", self._exactly(client, 2))[0]

    def _exactly(self, client: socket.socket, count: int) -> bytes:
        data = client.recv(count, socket.MSG_WAITALL)
        if len(data) < count:
            raise Refused
        return data

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.passed_bytes += len(data)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def real_proxy(kind: str, login: tuple[str, str] | None = None, status: str = "200 OK") -> Iterator[RealProxy]:
    """Run a proxy for a block."""
    proxy = RealProxy(kind, login, status)
    try:
        yield proxy
    finally:
        proxy.close()
