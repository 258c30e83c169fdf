"""Builds the requests that carry chunks of a file, or a whole small file."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode
from uuid import UUID

from transfer.connections.contract import Put
from transfer.source import Source
from transfer.wire import protocol
from transfer.wire.digest import CHUNKED, chunk_digest, digest_by_chunks, format_content_digest
from transfer.wire.header_fields import format_content_range
from transfer.wire.protocol import route


def put_chunks(
    upload_id: UUID, source: Source, part: range, digests: Sequence[bytes], encoded: bytes | None = None
) -> Put:
    """Return the request that carries neighbouring chunks of an upload.

    Parameters
    ----------
    upload_id
        The upload that they belong to.
    source, part
        The file, and the range of its bytes that the chunks cover.
    digests
        The BLAKE3 digests of the chunks, in their order.
    encoded
        The part compressed with zstd; None if it is sent unchanged.
    """
    content_range = format_content_range(part, source.size_bytes)
    headers = {protocol.H_CONTENT_RANGE: content_range, **_body_headers(digests, encoded)}
    return Put(route(protocol.UPLOAD_CONTENT, upload_id=str(upload_id)), headers, source, part, encoded)


def put_file(
    session: str, path: str, revision: int, source: Source, digest: bytes, encoded: bytes | None = None
) -> Put:
    """Return the request that carries a whole file.

    Parameters
    ----------
    session, path, revision
        The name of the file on the receiver.
    source
        The file.
    digest
        The BLAKE3 digest of all its bytes.
    encoded
        The file compressed with zstd; None if it is sent unchanged.
    """
    target = f"{route(protocol.FILE, session=session, path=path)}?{urlencode({'revision': revision})}"
    headers = _body_headers([digest], encoded)
    if encoded is not None:
        headers[protocol.H_UPLOAD_LENGTH] = str(source.size_bytes)
    return Put(target, headers, source, range(source.size_bytes), encoded)


def _body_headers(chunk_digests: Sequence[bytes], encoded: bytes | None) -> dict[str, str]:
    """Return the headers that describe a body; Content-Digest is of the bytes on the network (RFC 9530)."""
    headers = {"Content-Type": "application/octet-stream"}
    if encoded is not None:
        headers[protocol.H_CONTENT_ENCODING] = protocol.ZSTD
        chunk_digests = [chunk_digest(encoded)]
    algorithm = "blake3" if len(chunk_digests) == 1 else CHUNKED
    digest = digest_by_chunks(algorithm, chunk_digests)
    assert digest is not None
    return {**headers, protocol.H_CONTENT_DIGEST: format_content_digest(algorithm, digest)}
