"""Receives a run of chunks: locked, hashed, written, and only then noted as present."""

from __future__ import annotations

import os
from dataclasses import dataclass

from anyio import to_thread

from api.bodies import ChunkSink, lock_span
from api.body_sources import BodySource
from api.receiver import Receiver
from api.upload import Upload, chunk_numbers, require_generation
from api.upload_book import UploadBook
from transfer.chunks import CHUNK_BYTES
from transfer.errors import BadRange, NameTaken, ReceiverBusy


@dataclass(frozen=True, slots=True)
class ContentDigest:
    """The sender's word on a body: algorithm and digest."""

    algorithm: str
    digest: bytes


def require_whole_chunks(span: range, size_bytes: int) -> None:
    """Refuse a range that does not begin and end with a chunk.

    Raises
    ------
    BadRange
    """
    if span.stop > size_bytes or span.start % CHUNK_BYTES or (span.stop % CHUNK_BYTES and span.stop != size_bytes):
        raise BadRange(f"bytes {span.start} to {span.stop - 1} of {size_bytes} are not whole chunks of {CHUNK_BYTES}")


async def receive(
    receiver: Receiver, upload: Upload, span: range, sent: ContentDigest | None, body: BodySource
) -> list[bytes]:
    """Take a body into an upload's part file; return the BLAKE3 digests of its chunks.

    A body for a committed upload is compared with what is committed, and changes nothing.

    Raises
    ------
    ChunkCorrupt
        The body is not what was sent; none of its chunks counts as present.
    NameTaken
        Another content is committed under this name.
    ReceiverBusy, ReceiverFull, ClientStalled, BadRequest, UploadGone
    """
    fd = await to_thread.run_sync(_open_part, receiver, upload)
    try:
        if fd is not None:
            await lock_span(fd, span)
            upload = await to_thread.run_sync(_make_room, receiver, upload, span, sent)
        else:
            upload = await to_thread.run_sync(receiver.uploads.require, upload.id)
        present = await to_thread.run_sync(receiver.uploads.chunks, upload.id, chunk_numbers(span))
        whole = len(present) == len(chunk_numbers(span))
        sink = ChunkSink(None if whole else fd, span, sent.algorithm if sent else None)
        await body.pour(sink, receiver.settings.body_timeout_s, receiver.body_threads)
        sink.finish(sent.digest if sent else None)
        if not whole:
            arrived = dict(zip(chunk_numbers(span), sink.digests, strict=True))
            await to_thread.run_sync(receiver.uploads.mark, upload, arrived)
        elif [present[number].digest for number in chunk_numbers(span)] != sink.digests:
            raise NameTaken(f"{upload.name} is committed with another content")
    finally:
        if fd is not None:
            os.close(fd)
    return sink.digests


def _open_part(receiver: Receiver, upload: Upload) -> int | None:
    """Return the part file's descriptor; None for a committed upload, which has none."""
    if upload.committed:
        return None
    book = receiver.uploads
    try:
        return receiver.storage.open_part(upload.id, upload.generation, create=not book.chunks(upload.id))
    except FileNotFoundError:
        upload = book.require(upload.id)
        if upload.committed:
            return None
        book.restart(upload)
        raise ReceiverBusy("the upload's part file was lost; what was sent is asked for again") from None


def _make_room(receiver: Receiver, upload: Upload, span: range, sent: ContentDigest | None) -> Upload:
    """Prepare for writing, with the lock held: chunks that will be overwritten are no longer present."""
    book = receiver.uploads
    now = book.require(upload.id)
    if now.committed:
        return now
    require_generation(now, upload)
    present = book.chunks(upload.id, chunk_numbers(span))
    if not present or _is_replay(book, upload, span, sent):
        if not present:
            receiver.storage.require_space(len(span))
        return now
    book.unmark(now, list(present))
    return now


def _is_replay(book: UploadBook, upload: Upload, span: range, sent: ContentDigest | None) -> bool:
    """Whether a chunk comes again as it is: then it is only compared, and stays present whatever arrives."""
    if sent is None or sent.algorithm != "blake3" or len(span) > CHUNK_BYTES:
        return False
    present = book.chunks(upload.id, chunk_numbers(span))
    return [chunk.digest for chunk in present.values()] == [sent.digest]
