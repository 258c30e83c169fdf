"""Runs verifications: reads committed files whole in a thread of its own, and compares their digests.

It changes nothing on the disk and frees no name. What it finds is noted: an event, and a higher `data_folder.losses`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.checking.committed_rows import count_files, files_of_session, named_files
from api.checking.findings import cannot_be_opened, note, note_sha256
from api.checking.turns import BackgroundTurns, CheckStopped
from api.checking.verification_book import RESTARTED, OpenVerification, VerificationBook
from api.database.engine import Database
from api.store.on_disk import FileOnDisk, FileRow, read_again
from api.store.storage import Storage
from transfer.wire.errors import StorageFailed
from transfer.wire.verification import (
    MAX_LISTED_PROBLEMS,
    CheckedFile,
    FileCheck,
    Verification,
    VerificationState,
)

log = logging.getLogger(__name__)

NOTE_EVERY_S = 0.5
STOP_WITHIN_S = 5.0


@dataclass
class VerificationTally:
    """What a verification has found so far."""

    checked_files: int = 0
    checked_bytes: int = 0
    problem_count: int = 0
    problems: list[CheckedFile] = field(default_factory=list)

    def add(self, path: str, revision: int, seen: FileOnDisk) -> None:
        """Count a file."""
        self.checked_files += 1
        if seen.check is FileCheck.SAME:
            return
        self.problem_count += 1
        if len(self.problems) < MAX_LISTED_PROBLEMS:
            self.problems.append(CheckedFile(path=path, revision=revision, check=seen.check, detail=seen.detail))

    def as_members(self) -> dict[str, object]:
        """Return it as members of a `Verification`."""
        return {
            "checked_files": self.checked_files,
            "checked_bytes": self.checked_bytes,
            "problem_count": self.problem_count,
            "problems": tuple(self.problems),
        }


class Verifier:
    """Starts verifications and runs them.

    Parameters
    ----------
    book
        Where they are kept.
    database, storage
        The receiver's.
    turns
        When the next bytes may be read.
    """

    def __init__(self, book: VerificationBook, database: Database, storage: Storage, turns: BackgroundTurns) -> None:
        self._book = book
        self._database = database
        self._storage = storage
        self._turns = turns
        self._threads: list[threading.Thread] = []

    def start(self, session: str, session_id: int, token: str, paths: Sequence[str]) -> Verification:
        """Start a verification of a session, or of some of its files; return it.

        Raises
        ------
        LimitReached, OSError
        """
        names = sorted(set(paths))
        total = len(names) if names else count_files(self._database, session_id)
        verification, opened = self._book.begin(session, token, names, total)
        if opened is not None:
            thread = threading.Thread(
                target=self._run, args=(opened, session_id, names), name="cryoferry-verification", daemon=True
            )
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()
        return verification

    def get(self, session: str, verification_id: UUID) -> Verification:
        """Return a verification of a session.

        Raises
        ------
        NotFound
        """
        return self._book.get(session, verification_id)

    def join(self) -> None:
        """Wait for the threads, which end when the turns do."""
        for thread in self._threads:
            thread.join(STOP_WITHIN_S)

    def _run(self, opened: OpenVerification, session_id: int, paths: list[str]) -> None:
        tally, end = VerificationTally(), (VerificationState.FAILED, "it ended by an error, which is in the log")
        try:
            opened.note(state=VerificationState.RUNNING)
            self._read_all(opened, session_id, paths, tally)
            end = VerificationState.DONE, ""
        except CheckStopped:
            end = VerificationState.FAILED, RESTARTED
        except (OSError, SQLAlchemyError, StorageFailed) as error:
            log.warning("the verification %s of session %s failed: %s", opened.now.id, opened.now.session, error)
        finally:
            state, detail = end
            opened.note(state=state, detail=detail, **tally.as_members())
            opened.close()

    def _read_all(self, opened: OpenVerification, session_id: int, paths: list[str], tally: VerificationTally) -> None:
        noted_s = time.monotonic()

        def before_read(size_bytes: int) -> None:
            nonlocal noted_s
            self._turns.take(size_bytes)
            tally.checked_bytes += size_bytes
            if time.monotonic() - noted_s > NOTE_EVERY_S:
                noted_s = time.monotonic()
                opened.note(**tally.as_members())

        for batch, unknown in self._batches(session_id, paths):
            for path in unknown:
                tally.add(path, 0, FileOnDisk(FileCheck.MISSING, "no file of this name is committed"))
            read = []
            for file in batch:
                self._turns.take(0)
                try:
                    seen = read_again(self._storage, file, before_read=before_read)
                except OSError as error:
                    seen = cannot_be_opened(error)
                tally.add(file.path, file.revision, seen)
                read.append((file, seen))
            note(self._database, self._storage, read)
            note_sha256(self._database, read)

    def _batches(self, session_id: int, paths: list[str]) -> Iterator[tuple[list[FileRow], list[str]]]:
        if paths:
            yield from named_files(self._database, session_id, paths)
        else:
            yield from ((batch, []) for batch in files_of_session(self._database, session_id))
