"""The commit path: what happens between "all chunks are here" and the receipt, in one fixed order.

chunks complete → their bytes checked where the disk may have lost them → root digest → fsync of the file → `link()` to
its name → fsync of every folder on the way → database row → receipt. Whatever is interrupted is finished by the next
try: every step finds out whether it was done.
"""

from __future__ import annotations

import errno
import logging
import os
from datetime import datetime
from pathlib import Path

from api.store.part_locks import lock_whole
from api.store.storage import Storage
from api.store.upload import StoredChunk, Upload, require_generation, require_quiet
from api.store.upload_book import UploadBook
from transfer.disk import may_have_holes, read_at, sync_descriptor
from transfer.wire.chunks import missing_ranges, split
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.errors import FileCorrupt, NameTaken, ReceiverBusy, UploadGone, UploadIncomplete
from transfer.wire.protocol import ByteRange
from transfer.wire.receipt import Receipt

log = logging.getLogger(__name__)


def commit(book: UploadBook, storage: Storage, upload: Upload, wanted: str | None) -> tuple[Receipt, bool]:
    """Make an upload's file durable and visible; return its receipt and whether this call made it.

    Parameters
    ----------
    wanted
        The root digest that the client computed; None: whatever arrived, chunk by chunk verified.

    Raises
    ------
    UploadIncomplete
        Chunks are missing (`missing` among the error's members), perhaps because the disk lost them.
    FileCorrupt
        The chunks are not those of the file that the client means.
    NameTaken
        The name has another content already.
    """
    if not upload.committed:
        try:
            fd = storage.open_part(upload.id, upload.generation, create=upload.size_bytes == 0)
        except FileNotFoundError:
            upload = _after_loss(book, upload)
        else:
            try:
                lock_whole(fd)  # from here on nobody writes in the part file
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
    """Return an upload whose part file is not there: either it is committed, or all of it must be sent again."""
    upload = book.require(upload.id)
    if upload.committed:
        return upload
    if book.chunks(upload.id):
        log.warning("the part file of %s (upload %s) is gone; it is received anew", upload.name, upload.id)
        book.restart(upload)
    raise _incomplete(upload, {})


def _commit_locked(book: UploadBook, storage: Storage, upload: Upload, fd: int, wanted: str | None) -> Receipt:
    chunks = book.chunks(upload.id)
    if len(chunks) < len(split(upload.size_bytes)):
        raise _incomplete(upload, chunks)
    _check_disk(book, upload, fd, chunks)
    root = root_digest(chunks[number].digest for number in sorted(chunks))
    if wanted not in (None, root):
        raise FileCorrupt(f"{upload.name}: {root} arrived, {wanted} was sent")
    return _publish(book, storage, upload, fd, root)


def commit_received(book: UploadBook, storage: Storage, upload: Upload, fd: int, arrived: dict[int, bytes]) -> Receipt:
    """Make a file durable and visible all of whose chunks came just now, under one lock that is still held.

    Parameters
    ----------
    fd
        The part file, which nobody else has written in.
    arrived
        The chunks by number and BLAKE3 digest; noted together with the commit.

    Raises
    ------
    NameTaken, UploadGone
    """
    return _publish(book, storage, upload, fd, root_digest(arrived.values()), arrived)


def _publish(
    book: UploadBook, storage: Storage, upload: Upload, fd: int, root: str, arrived: dict[int, bytes] | None = None
) -> Receipt:
    """Do all that lies between the root digest and the receipt."""
    _sync(book, storage, upload, fd)
    storage.publish(fd, storage.part_path(upload.id, upload.generation), upload.location, root, upload.size_bytes)
    try:
        receipt = book.record_commit(upload, root, arrived)
    except UploadGone:
        storage.unpublish(fd, upload.location)
        raise
    storage.discard_part(upload.id, upload.generation)
    return receipt


def _check_disk(book: UploadBook, upload: Upload, fd: int, chunks: dict[int, StoredChunk]) -> None:
    """Read again what the disk may not have: chunks of an earlier run, or all when the file is short or has holes."""
    spans = split(upload.size_bytes)
    size = os.fstat(fd).st_size
    if size > upload.size_bytes:
        raise OSError(errno.EIO, f"the part file of {upload.name} has {size} bytes, expected {upload.size_bytes}")
    whole = size == upload.size_bytes and not may_have_holes(fd, size)
    doubtful = [number for number, chunk in chunks.items() if not whole or chunk.run_id != book.run_id]
    lost = [number for number in doubtful if not _holds(fd, spans[number], chunks[number].digest)]
    if lost:
        log.warning("%s: %d chunks on the disk are not what arrived; they are asked for again", upload.name, len(lost))
        book.unmark(upload, lost)
        raise _incomplete(upload, {number: chunk for number, chunk in chunks.items() if number not in set(lost)})


def _holds(fd: int, span: range, digest: bytes) -> bool:
    return chunk_digest(read_at(fd, len(span), span.start)) == digest


def _sync(book: UploadBook, storage: Storage, upload: Upload, fd: int) -> None:
    try:
        sync_descriptor(fd)
    except OSError:
        # The kernel reports a lost write once and then calls the page clean: a second fsync would lie. An earlier try
        # may have given the file its name already, under which the next upload would find it and believe it.
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


def withdraw(
    book: UploadBook, storage: Storage, upload: Upload, *, wait_s: float, quiet_since: datetime | None = None
) -> None:
    """Free an upload's name and its disk space, once no request is busy with it.

    Parameters
    ----------
    quiet_since
        Leave it alone if anything was added to it since then.

    Raises
    ------
    ReceiverBusy
        A request is still writing after `wait_s`, or has written since `quiet_since`.
    """
    try:
        fd = storage.open_part(upload.id, upload.generation, create=False)
    except FileNotFoundError:
        book.withdraw(upload, quiet_since)
        return
    try:
        lock_whole(fd, wait_s=wait_s)
        now = book.find(upload.id)
        if now is None or now.committed:
            return
        require_generation(now, upload)
        require_quiet(now, quiet_since)
        # The space first: on a full disk the database may need it to take note.
        storage.unpublish(fd, upload.location)
        os.ftruncate(fd, 0)
        book.withdraw(upload)
        storage.discard_part(upload.id, upload.generation)
    finally:
        os.close(fd)


def recover(book: UploadBook, storage: Storage) -> None:
    """Put right, before the first request, what an interrupted run left behind."""
    for upload in book.receiving():
        _heal(book, storage, upload)
    _discard_leftovers(book, storage, set(storage.incoming.iterdir()))


def _discard_leftovers(book: UploadBook, storage: Storage, found: set[Path]) -> None:
    """Remove what no unfinished upload owns; `found` was there before this looks who owns it."""
    for leftover in found - {storage.part_path(upload.id, upload.generation) for upload in book.receiving()}:
        leftover.unlink(missing_ok=True)


def _heal(book: UploadBook, storage: Storage, upload: Upload) -> None:
    """Finish a commit that was interrupted between the name and the row; forget what cannot be continued."""
    try:
        fd = storage.open_part(upload.id, upload.generation, create=False)
    except FileNotFoundError:
        if upload.one_request:
            book.withdraw(upload)
        elif book.chunks(upload.id):
            book.restart(upload)
        return
    try:
        finished = storage.is_published(fd, upload.location) and _finish(book, storage, upload, fd)
        if upload.one_request and not finished:  # its client waits no longer, and begins anew
            withdraw(book, storage, upload, wait_s=0)
    finally:
        os.close(fd)


def _finish(book: UploadBook, storage: Storage, upload: Upload, fd: int) -> bool:
    """Commit a file that has its name already, if its chunks were noted and are there; else take the name back."""
    try:
        receipt, _ = commit(book, storage, upload, None)
    except (UploadIncomplete, OSError) as lost:
        storage.unpublish(fd, upload.location)
        log.warning("took back the name of %s, which nobody was told of: %s", upload.name, lost)
        return False
    log.info("finished the interrupted commit of %s, %s", upload.name, receipt.digest)
    return True


def sweep(book: UploadBook, storage: Storage, untouched: list[Upload]) -> int:
    """Withdraw uploads that were given up by their clients; return how many.

    A request that came just when its upload was withdrawn may have made the part file anew: it goes, too.
    """
    count = 0
    for upload in untouched:
        try:
            withdraw(book, storage, upload, wait_s=0)
            count += 1
        except ReceiverBusy:
            log.debug("%s is still being received", upload.name)
    _discard_leftovers(book, storage, set(storage.incoming.glob("*.part")))
    return count
