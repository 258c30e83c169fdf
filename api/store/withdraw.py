"""Withdraws uploads: frees the name and the disk space of those that will not be committed."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path

from api.store.part_locks import lock_whole
from api.store.storage import Storage
from api.store.upload import Upload, require_generation, require_quiet
from api.store.upload_book import UploadBook
from transfer.wire.errors import ReceiverBusy

log = logging.getLogger(__name__)


def withdraw(
    book: UploadBook, storage: Storage, upload: Upload, *, wait_s: float, quiet_since: datetime | None = None
) -> None:
    """Free an upload's name and its disk space, once no request writes in it.

    Parameters
    ----------
    wait_s
        How long to wait for requests that write.
    quiet_since
        Do nothing if anything was added to the upload since then.

    Raises
    ------
    ReceiverBusy
        A request still writes after `wait_s`, or has written since `quiet_since`.
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
        # Free the space first: on a full disk the database may need it for its own change.
        storage.unpublish(fd, upload.location)
        os.ftruncate(fd, 0)
        book.withdraw(upload)
        storage.discard_part(upload.id, upload.generation)
    finally:
        os.close(fd)


def sweep(book: UploadBook, storage: Storage, untouched: list[Upload]) -> int:
    """Withdraw the given uploads, which their clients have abandoned; return how many.

    A request that came while its upload was withdrawn may have made the part file again; it is removed, too.
    """
    count = 0
    for upload in untouched:
        try:
            withdraw(book, storage, upload, wait_s=0)
            count += 1
        except ReceiverBusy:
            log.debug("%s is still being received", upload.name)
    discard_leftovers(book, storage, set(storage.incoming.glob("*.part")))
    return count


def discard_leftovers(book: UploadBook, storage: Storage, found: set[Path]) -> None:
    """Remove part files that no unfinished upload owns.

    Parameters
    ----------
    found
        The files to look at. They must have been listed before this call reads which uploads there are.
    """
    for leftover in found - {storage.part_path(upload.id, upload.generation) for upload in book.receiving()}:
        leftover.unlink(missing_ok=True)
