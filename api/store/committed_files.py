"""Says whether committed files are there: by the disk, never by the database alone.

A file is there if it has its size, and its time stamp as at its commit. A file with another time stamp is read again:
a copy that was restored has the same content. What is not there any more is no longer committed: its name is free, and
what stands in its place is set aside (see `lost_files.py`).
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from functools import partial

from api.database.engine import Database
from api.database.tables import now
from api.store.lost_files import free_lost, note_same
from api.store.on_disk import FileOnDisk, FileRow, look, must_be_read, read_again
from api.store.storage import Storage
from transfer.wire.errors import ReceiverBusy, StorageFailed
from transfer.wire.verification import FileCheck

READ_WAIT_S = 5.0
"""How long a request waits while a file is read again. Then its client asks later; the reading goes on."""
READERS = 2

_Reading = tuple[int, int | None, int | None]
"""A file that is read again: its row, the number of its commit, the time stamp that it has."""


class CommittedFiles:
    """Compares what the database records as committed with what is on the disk. Many threads may use it.

    Parameters
    ----------
    database, storage
        The receiver's.
    read_wait_s
        How long, in s, a call waits while a file is read again.
    """

    def __init__(self, database: Database, storage: Storage, *, read_wait_s: float = READ_WAIT_S) -> None:
        self._database, self._storage, self._read_wait_s = database, storage, read_wait_s
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cryoferry-read-again")
        self._readings: dict[_Reading, Future[bool]] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """End the readings. Files that were not read to their ends are read again when somebody asks for them."""
        self._is_closed = True
        self._readers.shutdown(cancel_futures=True)

    def is_here(self, file: FileRow) -> bool:
        """Return whether a committed file is on the disk; if it is not, its name is free when this returns.

        Raises
        ------
        ReceiverBusy
            It has another time stamp and is read again, which takes longer: ask later.
        StorageFailed, OSError
            The disk reports an error. The file is neither there nor lost.
        """
        seen = look(self._storage, file)
        return self._read_in_turn(file, seen) if must_be_read(file, seen) else self._settle(file, seen)

    def _settle(self, file: FileRow, seen: FileOnDisk) -> bool:
        """Note how a file is, or free its name; return whether it is there."""
        if seen.check is FileCheck.UNREADABLE:
            raise StorageFailed(f"{file.name} cannot be read: {seen.detail}")
        if seen.check is not FileCheck.SAME:
            self._free(file, seen)
            return False
        if file.mtime_ns != seen.mtime_ns or file.is_noted_lost:  # then it was read, or an older version committed it
            with self._database.write() as connection:
                note_same(connection, file, seen)
        return True

    def _free(self, file: FileRow, seen: FileOnDisk) -> None:
        self._storage.require_mounted()
        with self._database.write() as connection:
            if look(self._storage, file).mtime_ns == seen.mtime_ns:  # nobody has put another file there meanwhile
                free_lost(connection, self._storage, file, seen, now())

    def _read_in_turn(self, file: FileRow, seen: FileOnDisk) -> bool:
        """Have a file read again and settled; several callers wait for one reading."""
        key = (file.id, file.sequence, seen.mtime_ns)
        with self._lock:
            if self._is_closed:
                raise ReceiverBusy("the receiver ends")
            reading = self._readings.get(key)
            if reading is None:
                reading = self._readings[key] = self._readers.submit(self._read, file)
        reading.add_done_callback(partial(self._end_reading, key))
        try:
            return reading.result(self._read_wait_s)
        except NotYet:
            raise ReceiverBusy(
                f"{file.name} has another time stamp than at its commit, and is being read again"
            ) from None

    def _end_reading(self, key: _Reading, _: Future[bool]) -> None:
        with self._lock:
            self._readings.pop(key, None)

    def _read(self, file: FileRow) -> bool:
        return self._settle(file, read_again(self._storage, file, before_read=self._require_open))

    def _require_open(self, _size_bytes: int) -> None:
        if self._is_closed:
            raise ReceiverBusy("the receiver ends")
