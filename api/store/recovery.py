"""Recovers the data folder at start, after a run of the receiver that was interrupted."""

from __future__ import annotations

import logging
import os

from api.store.commit import commit
from api.store.storage import Storage
from api.store.upload import Upload
from api.store.upload_book import UploadBook
from api.store.withdraw import discard_leftovers, withdraw
from transfer.wire.errors import UploadIncomplete

log = logging.getLogger(__name__)


def recover(book: UploadBook, storage: Storage) -> None:
    """Finish or undo, before the first request, what an interrupted run of the receiver has left."""
    for upload in book.receiving():
        _recover_one(book, storage, upload)
    discard_leftovers(book, storage, set(storage.incoming.iterdir()))


def _recover_one(book: UploadBook, storage: Storage, upload: Upload) -> None:
    """Finish a commit that was interrupted after the file got its name; withdraw what no client can continue."""
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
        if upload.one_request and not finished:  # its client has lost the connection and will begin again
            withdraw(book, storage, upload, wait_s=0)
    finally:
        os.close(fd)


def _finish(book: UploadBook, storage: Storage, upload: Upload, fd: int) -> bool:
    """Commit a file that has its name already, if its chunks are noted and on the disk; otherwise remove the name."""
    try:
        receipt, _ = commit(book, storage, upload, None)
    except (UploadIncomplete, OSError) as lost:
        storage.unpublish(fd, upload.location)
        log.warning(
            "removed %s, which was interrupted before its receipt; the client must send it again: %s", upload.name, lost
        )
        return False
    log.info("finished the interrupted commit of %s, %s", upload.name, receipt.digest)
    return True
