"""Reads the receiver's certificate again when its files change, so that a renewal needs no restart."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from api.once_a_run import ONCE_A_RUN

log = logging.getLogger(__name__)

POLL_S = 5.0

_look_now = threading.Event()

Stamp = tuple[tuple[int, ...] | None, ...]


class Certificate:
    """A certificate and its key in two files, and the TLS context that uses them.

    A connection that is open keeps the certificate that it began with.

    Parameters
    ----------
    context
        Has loaded both files.
    """

    def __init__(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        self._context, self._certificate, self._key = context, certificate, key
        self._stamp = self._refused_stamp = self._present_stamp()

    def renew(self) -> None:
        """Load the files if they have changed; if they cannot be used, say so once and go on with the old ones.

        Files that change in this moment, or of which only one is new yet, are looked at again by the next call.
        """
        stamp = self._present_stamp()
        if stamp == self._stamp:
            return
        renewed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            renewed.load_cert_chain(self._certificate, self._key)
            if self._present_stamp() != stamp:
                return
            self._use(renewed)
        except OSError as error:  # ssl.SSLError is one
            if stamp == self._refused_stamp:
                return
            log.error(  # noqa: TRY400  # the traceback says no more
                "%s and %s changed and cannot be used: %s. Connections get the certificate that was read before."
                " Put a certificate and its key there (PEM)", self._certificate, self._key, error, extra=ONCE_A_RUN,
            )  # fmt: skip
            self._refused_stamp = stamp
        else:
            text = "%s changed and was read again: new connections get this certificate"
            log.info(text, self._certificate, extra=ONCE_A_RUN)
            self._stamp = self._refused_stamp = stamp

    def _use(self, renewed: ssl.SSLContext) -> None:
        """Give new connections this certificate, in one step.

        Loaded into the context in use, it would stand there without its key for a moment, and a connection that begins
        then would fail. OpenSSL takes the certificate alone from the other context.
        """

        def take_renewed(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = renewed

        self._context.sni_callback = take_renewed  # called for every connection, with a name or without

    def _present_stamp(self) -> Stamp:
        return tuple(_stamp(path) for path in (self._certificate, self._key))


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file, or what a link leads to, is written to or replaced; None if it is missing."""
    try:
        status = os.stat(path)  # noqa: PTH116  # follows links, as certbot makes them
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def renewed_context(config: uvicorn.Config, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return uvicorn's TLS context, whose certificate is read again when it changes: `ssl_context_factory`."""
    context = make()
    assert config.ssl_certfile is not None
    assert config.ssl_keyfile is not None
    certificate = Certificate(context, Path(config.ssl_certfile), Path(config.ssl_keyfile))

    def watch() -> None:
        while True:
            _look_now.wait(POLL_S)
            _look_now.clear()
            certificate.renew()

    threading.Thread(target=watch, name="certificate", daemon=True).start()
    return context


def look_now() -> None:
    """Have the certificate's files looked at without delay."""
    _look_now.set()
