"""Commits an upload: everything between "all chunks are here" and the receipt, in one fixed order.

All chunks present → root digest → size and holes checked, and what the disk may have lost read again → fsync of the
file → `link()` to its name → fsync of every folder of its path → database row → receipt. If a commit is interrupted,
the next try finishes it: every step finds out whether it was done. Holes alone lead to no refusal: some file systems
make holes of zeros.
"""

from __future__ import annotations

import errno
import logging
import os

from api.store.part_locks import lock_whole
from api.store.storage import Storage
from api.store.upload import StoredChunk, Upload, require_generation
from api.store.upload_book import UploadBook
from transfer.disk.files import may_have_holes, read_at, sync_descriptor
from transfer.wire.chunks import missing_ranges, split
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.errors import FileCorrupt, NameTaken, StorageFailed, UploadGone, UploadIncomplete
from transfer.wire.protocol import ByteRange
from transfer.wire.receipt import Receipt

log = logging.getLogger(__name__)


def commit(book: UploadBook, storage: Storage, upload: Upload, wanted: str | None) -> tuple[Receipt, bool]:
    """Make an upload's file durable and visible; return its receipt and whether this call made it.

    Parameters
    ----------
    wanted
        The root digest that the client computed; None: accept what arrived, which was verified chunk by chunk.

    Raises
    ------
    UploadIncomplete
        Chunks are missing (the error's member `missing` names them), perhaps because the disk lost them.
    FileCorrupt
        The chunks do not have the root digest that the client computed.
    NameTaken
        Another file is committed under this name.
    UploadGone
        It was committed, and the disk has lost its file.
    """
    if not upload.committed:
        try:
            fd = storage.open_part(upload.id, upload.generation, create=upload.size_bytes == 0)
        except FileNotFoundError:
            upload = _after_loss(book, upload)
        else:
            try:
                lock_whole(fd)  # no request writes in the part file any more
                before, upload = upload, book.require(upload.id)
                if not upload.committed:
                    require_generation(upload, before)
                    return _commit_locked(book, storage, upload, fd, wanted), True
                storage.discard_part(upload.id, upload.generation)
            finally:
                os.close(fd)
    receipt = book.receipt(upload)
    if wanted not in (None, receipt.digest):
        raise NameTaken(f"{upload.name} is committed with another content")
    return receipt, False


def _after_loss(book: UploadBook, upload: Upload) -> Upload:
    """Return an upload that has no part file, if it is committed; otherwise all of it must be sent again."""
    upload = book.require(upload.id)
    if upload.committed:
        return upload
    if book.chunks(upload.id):
        log.warning(
            "the part file of %s (upload %s) was removed; the client must send all of it again", upload.name, upload.id
        )
        book.restart(upload)
    raise _incomplete(upload, {})


def _commit_locked(book: UploadBook, storage: Storage, upload: Upload, fd: int, wanted: str | None) -> Receipt:
    chunks = book.chunks(upload.id)
    if len(chunks) < len(split(upload.size_bytes)):
        raise _incomplete(upload, chunks)
    root = root_digest(chunks[number].digest for number in sorted(chunks))
    if wanted not in (None, root):
        raise FileCorrupt(f"{upload.name}: the receiver has the root digest {root}, the client {wanted}")
    _check_disk(book, upload, fd, chunks)
    return _publish(book, storage, upload, fd, root)


def commit_received(book: UploadBook, storage: Storage, upload: Upload, fd: int, arrived: dict[int, bytes]) -> Receipt:
    """Make a file durable and visible whose chunks have all come just now, under one lock that is still held.

    Parameters
    ----------
    fd
        The part file. No other request has written in it.
    arrived
        The chunks' BLAKE3 digests by number.

    Raises
    ------
    NameTaken, UploadGone
    StorageFailed
        The disk has lost bytes that it took.
    """
    if not _is_whole(upload, fd):
        _require_kept(upload, fd, arrived)
    return _publish(book, storage, upload, fd, root_digest(arrived.values()))


def _publish(book: UploadBook, storage: Storage, upload: Upload, fd: int, root: str) -> Receipt:
    """Do the steps between the root digest and the receipt."""
    _sync(book, storage, upload, fd)
    part = storage.part_path(upload.id, upload.generation)
    mtime_ns = storage.publish(fd, part, upload.location, root, upload.size_bytes)
    try:
        # A file that had the name before was not sent: its sender may be about to delete that very file.
        is_new = mtime_ns == os.fstat(fd).st_mtime_ns
        receipt = book.record_commit(upload, root, mtime_ns, is_new=is_new)
    except UploadGone:
        storage.unpublish(fd, upload.location)
        raise
    storage.discard_part(upload.id, upload.generation)
    return receipt


def _check_disk(book: UploadBook, upload: Upload, fd: int, chunks: dict[int, StoredChunk]) -> None:
    """Read again what the disk may have lost: chunks of an earlier run, or all if the file is short or has holes."""
    spans, whole = split(upload.size_bytes), _is_whole(upload, fd)
    doubtful = [number for number, chunk in chunks.items() if not whole or chunk.run_id != book.run_id]
    lost = [number for number in doubtful if not _holds(fd, spans[number], chunks[number].digest)]
    if lost:
        log.warning(
            "%s: the disk has lost %d chunks that had arrived; the client must send them again", upload.name, len(lost)
        )
        book.unmark(upload, lost)
        raise _incomplete(upload, {number: chunk for number, chunk in chunks.items() if number not in set(lost)})


def _require_kept(upload: Upload, fd: int, arrived: dict[int, bytes]) -> None:
    """Refuse to commit a file, short or with holes, that does not hold what arrived."""
    spans = split(upload.size_bytes)
    lost = [number for number, digest in arrived.items() if not _holds(fd, spans[number], digest)]
    if lost:
        log.error("%s: the disk has lost %d of %d chunks that it took", upload.name, len(lost), len(spans))
        raise StorageFailed(f"the receiver's disk has lost bytes of {upload.name} that it took; send the file again")


def _is_whole(upload: Upload, fd: int) -> bool:
    """Return whether a part file has its size and no holes.

    Raises
    ------
    OSError
        It is too long.
    """
    size = os.fstat(fd).st_size
    if size > upload.size_bytes:
        raise OSError(errno.EIO, f"the part file of {upload.name} has {size} bytes, expected {upload.size_bytes}")
    return size == upload.size_bytes and not may_have_holes(fd, size)


def _holds(fd: int, span: range, digest: bytes) -> bool:
    return chunk_digest(read_at(fd, len(span), span.start)) == digest


def _sync(book: UploadBook, storage: Storage, upload: Upload, fd: int) -> None:
    try:
        sync_descriptor(fd)
    except OSError:
        # The kernel reports a lost write once and then calls the page clean, so a second fsync would succeed wrongly.
        # An earlier try may have given the file its name already; the next upload would find it and trust it.
        storage.unpublish(fd, upload.location)
        book.restart(upload)
        storage.discard_part(upload.id, upload.generation)
        raise


def _incomplete(upload: Upload, chunks: dict[int, StoredChunk]) -> UploadIncomplete:
    missing = missing_ranges(chunks, upload.size_bytes)
    return UploadIncomplete(
        f"{sum(map(len, missing))} of {upload.size_bytes} bytes of {upload.name} are missing",
        missing=[ByteRange(first=span.start, last=span.stop - 1).model_dump() for span in missing],
    )
