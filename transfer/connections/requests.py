"""Builds the requests that carry chunks of a file, or a whole small file."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode
from uuid import UUID

from transfer.connections.contract import Put
from transfer.upload.source import Source
from transfer.wire import protocol
from transfer.wire.digest import CHUNKED, chunk_digest, digest_by_chunks, format_content_digest
from transfer.wire.protocol import route


def put_chunks(
    upload_id: UUID, source: Source, part: range, digests: Sequence[bytes], encoded: bytes | None = None
) -> Put:
    """Return the request that carries neighbouring chunks of an upload; `digests` are their BLAKE3 digests."""
    content_range = protocol.format_content_range(part, source.size_bytes)
    headers = {protocol.H_CONTENT_RANGE: content_range, **_of_body(digests, encoded)}
    return Put(route(protocol.UPLOAD_CONTENT, upload_id=str(upload_id)), headers, source, part, encoded)


def put_file(
    session: str, path: str, revision: int, source: Source, digest: bytes, encoded: bytes | None = None
) -> Put:
    """Return the request that carries a whole file of at most `SMALL_FILE_BYTES`."""
    target = f"{route(protocol.FILE, session=session, path=path)}?{urlencode({'revision': revision})}"
    headers = _of_body([digest], encoded)
    if encoded is not None:
        headers[protocol.H_UPLOAD_LENGTH] = str(source.size_bytes)
    return Put(target, headers, source, range(source.size_bytes), encoded)


def _of_body(chunk_digests: Sequence[bytes], encoded: bytes | None) -> dict[str, str]:
    """Return the headers that tell of a body; its Content-Digest is of what travels (RFC 9530)."""
    headers = {"Content-Type": "application/octet-stream"}
    if encoded is not None:
        headers[protocol.H_CONTENT_ENCODING] = protocol.ZSTD
        chunk_digests = [chunk_digest(encoded)]
    algorithm = "blake3" if len(chunk_digests) == 1 else CHUNKED
    digest = digest_by_chunks(algorithm, chunk_digests)
    assert digest is not None
    return {**headers, protocol.H_CONTENT_DIGEST: format_content_digest(algorithm, digest)}
