"""Looks at the way to a receiver: the proxy, the certificate, the largest body that gets through."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from transfer.client import ReceiverClient
from transfer.connections.contract import SendCallbacks
from transfer.connections.http_client import parsed_url
from transfer.connections.proxies import proxy_for
from transfer.connections.requests import put_chunks
from transfer.connections.tls_trust import tls_context
from transfer.source import Source
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import ForeignAnswer, TransferError

LARGEST_BODY_BYTES = 4 * CHUNK_BYTES
"""Our clients send no larger body in one request."""
TIMEOUT_S = 5.0


def proxy_name(url: str) -> str:
    """Return the proxy that requests to a URL go through, with the variable that names it; empty if there is none.

    Raises
    ------
    BadProxy
    """
    proxy = proxy_for(parsed_url(url))
    return "" if proxy is None else str(proxy)


def certificate_days(url: str, ca: Path | None) -> float | None:
    """Return for how many days the receiver's certificate is still valid; None without TLS, or through a proxy.

    Raises
    ------
    OSError
        It cannot be read, or verified.
    """
    where = parsed_url(url)
    if where.scheme != "https" or proxy_for(where) is not None:
        return None
    with (
        socket.create_connection((where.host, where.port or 443), TIMEOUT_S) as plain,
        tls_context(ca).wrap_socket(plain, server_hostname=where.host) as secure,
    ):
        certificate = secure.getpeercert() or {}
    return (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400


def refused_body(client: ReceiverClient) -> ForeignAnswer | None:
    """Send the largest body that a request has, for an upload that does not exist; return who else refused it."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(LARGEST_BODY_BYTES)
        with Source(Path(file.name)) as source:
            digests = [bytes(32)] * (LARGEST_BODY_BYTES // CHUNK_BYTES)
            put = put_chunks(uuid4(), source, range(LARGEST_BODY_BYTES), digests)
            connection = client.new_connection()
            try:
                connection.send(put, SendCallbacks(lambda count: count, lambda _count: None, lambda: None))
                connection.answer(lambda: None)
            except ForeignAnswer as error:
                return error
            except TransferError:
                return None  # the receiver's own answer, or a connection that it closed after that
            finally:
                connection.close()
    return None
