"""Digests: the identity of a file, and the check of its bytes on the network.

The identity of a file (its *root digest*) is BLAKE3 over the BLAKE3 digests of its chunks of `CHUNK_BYTES`, in their
order. So several processes can compute it in parallel, and a receiver can check it without reading the file again.
Every body has a `Content-Digest` (RFC 9530) with blake3, the registered sha-256, or `CHUNKED`: BLAKE3 over the digests
of the chunks in the body, so that a body of several chunks is hashed once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from blake3 import blake3

from transfer.wire.errors import BadRequest

CHUNKED = "blake3-chunks"


class Hasher(Protocol):
    """What hashlib and blake3 have in common."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes added so far."""


def new_hasher(algorithm: str) -> Hasher:
    """Return a fresh hasher for a Content-Digest algorithm (`blake3` or `sha-256`)."""
    if algorithm == "blake3":
        return blake3()
    if algorithm == "sha-256":
        return hashlib.sha256()
    raise BadRequest(f"Content-Digest algorithm {algorithm!r} is not supported", hint="Use blake3 or sha-256.")


def chunk_digest(data: bytes | bytearray | memoryview) -> bytes:
    """Return the BLAKE3 digest (32 bytes) of one chunk."""
    return blake3(data).digest()


def root_digest(chunk_digests: Iterable[bytes]) -> str:
    """Return the root digest of a file, in hex, from the digests of its chunks in order; an empty file has none."""
    root = blake3()
    for digest in chunk_digests:
        root.update(digest)
    return root.hexdigest()


def digest_by_chunks(algorithm: str, chunk_digests: Sequence[bytes]) -> bytes | None:
    """Return the digest of a body computed from those of its chunks; None if the algorithm needs the bytes."""
    if algorithm == CHUNKED:
        return bytes.fromhex(root_digest(chunk_digests))
    if algorithm == "blake3" and len(chunk_digests) == 1:
        return chunk_digests[0]
    return None


def format_content_digest(algorithm: str, digest: bytes) -> str:
    """Return a Content-Digest field value, RFC 9530: `blake3=:base64:`."""
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def parse_content_digest(value: str, *, is_encoded: bool = False) -> tuple[str, bytes]:
    """Return (algorithm, digest) of the strongest digest in a Content-Digest field whose algorithm is known.

    Parameters
    ----------
    is_encoded
        Whether the body is compressed: then it has no chunks, and `CHUNKED` is not accepted.

    Raises
    ------
    BadRequest
        The field has no well-formed member with a known algorithm.
    """
    known = {}
    for member in value.split(","):
        name, _, encoded = member.strip().partition("=")
        if len(encoded) > 2 and encoded.startswith(":") and encoded.endswith(":"):
            try:
                known[name.lower()] = base64.b64decode(encoded[1:-1], validate=True)
            except binascii.Error:
                continue
    for algorithm in ("blake3", "sha-256") if is_encoded else (CHUNKED, "blake3", "sha-256"):
        if len(known.get(algorithm, b"")) == 32:
            return algorithm, known[algorithm]
    raise BadRequest(
        "Content-Digest holds no blake3 or sha-256 digest", hint="Send `Content-Digest: sha-256=:BASE64:`."
    )
