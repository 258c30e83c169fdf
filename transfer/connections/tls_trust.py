"""Which certificate authorities are trusted, and what went wrong with TLS."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path

from transfer.wire.errors import CertificateRejected, ForeignAnswer, SourceUnreadable
from transfer.wire.foreign_answers import no_http

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "RECORD LAYER FAILURE", "UNKNOWN_PROTOCOL",
           "PACKET_LENGTH_TOO_LONG")  # fmt: skip
_WHAT_TO_DO = {
    "expired": "Renew the receiver's certificate, or set this machine's clock. No restart is needed here.",
    "not yet valid": "Set this machine's clock, and check the receiver's certificate.",
    "mismatch": "Use the host name that the certificate names, or give the receiver a certificate for this one.",
    "not valid for": "Use the host name that the certificate names, or give the receiver a certificate for this one.",
}


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts one PEM file, or the system's authorities if there is none.

    Raises
    ------
    SourceUnreadable
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SourceUnreadable(f"{ca} is not a readable file of PEM certificates: {error}") from error


class TlsTrust:
    """The TLS context of a client; it is made again when the file changes or a certificate was refused.

    Parameters
    ----------
    ca
        PEM file of the certificate authority to trust; None: the system's authorities.

    Raises
    ------
    SourceUnreadable
        The file holds no certificates now. Later, the ones that were read before stay in use.
    """

    def __init__(self, ca: Path | None) -> None:
        self._ca = ca
        self._lock = threading.Lock()
        self._signature = _signature(ca)
        self._context = tls_context(ca)
        self._is_refused = False

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        with self._lock:
            signature = _signature(self._ca)
            if self._is_refused or signature != self._signature:
                try:
                    self._context = tls_context(self._ca)
                except SourceUnreadable:
                    return self._context  # the file is being replaced
                self._signature, self._is_refused = signature, False
            return self._context

    def refused(self) -> None:
        """Note that a certificate was refused: the trusted ones are read again before the next connection."""
        with self._lock:
            self._is_refused = True

    def for_proxy(self) -> ssl.SSLContext:
        """Return a context for a proxy that itself speaks TLS: it trusts the system's authorities too."""
        context = ssl.create_default_context()
        if self._ca is not None:
            context.load_verify_locations(self._ca)
        return context


def _signature(ca: Path | None) -> tuple[int, int, int] | None:
    if ca is None:
        return None
    try:
        status = os.stat(ca)  # noqa: PTH116  # of what a link points to
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def tls_error(error: BaseException, host: str, where: str) -> CertificateRejected | ForeignAnswer | None:
    """Return what an error of TLS means, however deep other errors hide it; None: it is something else."""
    seen = str(error)
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return _rejected(host, str(below))
        if isinstance(below, ssl.SSLError):
            seen = f"{seen} {below}"
        below = below.__cause__ or below.__context__
    if "CERTIFICATE_VERIFY_FAILED" in seen:
        return _rejected(host, seen)
    if any(name in seen.upper() for name in _NO_TLS):
        return no_http(
            where, "what answers does not speak TLS", hint="Check the URL: http:// or https://, and the port."
        )
    return None


def _rejected(host: str, text: str) -> CertificateRejected:
    hint = next((hint for word, hint in _WHAT_TO_DO.items() if word in text), None)
    return CertificateRejected(f"{host}: {text}", hint=hint)
