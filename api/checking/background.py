"""Reads committed files without being asked: a quick check of all files, and the SHA-256 of each.

One process of a receiver does it: the one that holds a lock in the data folder; when that ends, another one goes on.
The quick check looks at existence, size and time stamp, at the start and every hour; it reads a file only if its time
stamp is not the one at its commit. In between, files that were noted as lost are looked at again.
SHA-256 is computed for the oldest files first. What has none yet stands in the database, so a restart loses nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import AwareDatetime
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from api.checking.committed_rows import files_noted_lost, files_without_sha256
from api.checking.findings import cannot_be_opened, note, note_sha256
from api.checking.folder_check import seen_now
from api.checking.turns import BackgroundTurns, CheckStopped
from api.checking.whole_check import WholeCheck
from api.database.engine import Database
from api.database.tables import data_folder
from api.store.on_disk import FileOnDisk, FileRow, look, read_again
from api.store.storage import Storage
from transfer.disk.locks import FileLock
from transfer.wire.errors import StorageFailed, TransferError
from transfer.wire.receipt import Record
from transfer.wire.verification import FileCheck

log = logging.getLogger(__name__)

TICK_S = 2.0
CHECK_EVERY_S = 3600.0
RETRY_AFTER_S = 60.0
NOTE_SHA256_EVERY_S = 1.0
SMALL_FILE_BYTES = 1 << 20
"""A file counts like reading so many bytes more, so that small ones do not keep the database busy during uploads."""
OLD_NS = 3600 * 10**9
STOP_WITHIN_S = 5.0


class FileCheckResult(Record):
    """The result of the last quick check of all files."""

    run_id: str
    finished_at: AwareDatetime
    files: int
    missing: int
    changed: int
    unreadable: int


def last_result(database: Database) -> FileCheckResult | None:
    """Return the result of the last quick check; None if there was none."""
    with database.read() as connection:
        text: str | None = connection.scalar(select(data_folder.c.file_check))
    try:
        return FileCheckResult.model_validate_json(text) if text else None
    except ValueError:  # of another version
        return None


class BackgroundChecks:
    """The background work of one process.

    Parameters
    ----------
    database, storage
        The receiver's.
    turns
        When the next bytes may be read.
    stopping
        Set when the receiver ends.
    leader
        The lock that only one process holds.
    run_id
        Identifies this run of the receiver.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        turns: BackgroundTurns,
        stopping: threading.Event,
        leader: FileLock,
        run_id: str,
    ) -> None:
        self._stopping = stopping
        self._leader = leader
        check = QuickCheck(database, storage, turns, run_id)
        sums = Sha256Work(database, storage, turns)
        self._work: dict[str, Callable[[], float]] = {"file-check": check.turn, "sha256": sums.turn}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads."""
        for name, turn in self._work.items():
            thread = threading.Thread(target=self._run, args=(turn,), name=f"cryoferry-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """Wait for the threads, which end when `stopping` is set, and free the lock."""
        for thread in self._threads:
            thread.join(STOP_WITHIN_S)
        self._threads = []
        self._leader.release()

    def _run(self, turn: Callable[[], float]) -> None:
        while not self._stopping.is_set():
            pause_s = TICK_S
            try:
                if self._leader.try_acquire():
                    pause_s = turn()
            except CheckStopped:
                return
            except (OSError, SQLAlchemyError, StorageFailed) as error:
                log.warning("the check of committed files will be tried again: %s", error)
                pause_s = RETRY_AFTER_S
            self._stopping.wait(pause_s)


class QuickCheck:
    """Looks at all committed files, every hour, and at those that were noted as lost every few seconds."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        turns: BackgroundTurns,
        run_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._storage = storage
        self._turns = turns
        self._run_id = run_id
        self._clock = clock
        self._due_s = float("-inf")
        self._read_when: dict[int, int] = {}  # file noted as lost -> its change time when it was read last

    def turn(self) -> float:
        """Do what is due; return how long to wait until the next turn, in s."""
        if self._clock() >= self._due_s:
            self._check_all()
        else:
            self._look_at_lost_files()
        return TICK_S

    def _check_all(self) -> None:
        whole = WholeCheck(self._database, self._storage, self._turns.take)
        for _finding in whole.committed():
            pass  # it was noted
        counts = whole.counts
        result = FileCheckResult(
            run_id=self._run_id,
            finished_at=datetime.now(UTC),
            files=counts.files,
            missing=counts.missing,
            changed=counts.changed,
            unreadable=counts.unreadable,
        )
        with self._database.write() as connection:
            connection.execute(update(data_folder).values(file_check=result.model_dump_json()))
        log.log(
            logging.WARNING if counts.problems else logging.INFO,
            "looked at %d committed files: %d missing, %d changed, %d unreadable",
            *(counts.files, counts.missing, counts.changed, counts.unreadable),
        )
        self._due_s = self._clock() + (RETRY_AFTER_S if counts.unreadable else CHECK_EVERY_S)

    def _look_at_lost_files(self) -> None:
        """Find out which of the files that were noted as lost are there again; read each only if it has changed."""
        lost = files_noted_lost(self._database)
        self._read_when = {file.id: self._read_when[file.id] for file in lost if file.id in self._read_when}
        again = []
        for file in lost:
            self._turns.take(0)
            try:
                if look(self._storage, file).check is not FileCheck.SAME:
                    continue
                changed_ns = self._storage.status(file.location).st_ctime_ns
            except (OSError, TransferError):
                continue
            if self._read_when.get(file.id) != changed_ns:
                again.append((file, seen_now(self._storage, file, self._turns.take, deep=True)))
                self._read_when[file.id] = changed_ns
        note(self._database, self._storage, again)


class Sha256Work:
    """Computes the SHA-256 of committed files that have none, the oldest first."""

    def __init__(self, database: Database, storage: Storage, turns: BackgroundTurns) -> None:
        self._database = database
        self._storage = storage
        self._turns = turns
        self._after = 0
        self._unreadable: set[int] = set()
        self._forgotten_s = time.monotonic()

    def turn(self) -> float:
        """Compute those of one batch; return how long to wait until the next turn, in s."""
        if time.monotonic() - self._forgotten_s > CHECK_EVERY_S:  # the disk may be sound again
            self._unreadable, self._forgotten_s = set(), time.monotonic()
        batch = files_without_sha256(self._database, self._after)
        if not batch:
            self._after = 0
            return TICK_S
        self._after = batch[-1].id
        self._compute([file for file in batch if file.id not in self._unreadable])
        return 0.0

    def _compute(self, batch: list[FileRow]) -> None:
        done: list[tuple[FileRow, FileOnDisk]] = []
        noted_s = time.monotonic()
        for file in batch:
            self._turns.take(SMALL_FILE_BYTES)
            seen = self._read(file)
            if seen.check is FileCheck.UNREADABLE:
                log.warning("%s has no SHA-256: %s", file.name, seen.detail)
                self._unreadable.add(file.id)
            done.append((file, seen))
            if time.monotonic() - noted_s > NOTE_SHA256_EVERY_S:
                self._note(done)
                done, noted_s = [], time.monotonic()
        self._note(done)

    def _read(self, file: FileRow) -> FileOnDisk:
        # A file that has just come is in memory, where others will read it too; an old one need not stay there.
        is_old = file.mtime_ns is None or time.time_ns() - file.mtime_ns > OLD_NS
        try:
            return read_again(self._storage, file, before_read=self._turns.take, from_disk=is_old)
        except OSError as error:
            return cannot_be_opened(error)

    def _note(self, done: list[tuple[FileRow, FileOnDisk]]) -> None:
        note(self._database, self._storage, done)
        note_sha256(self._database, done)
