"""Keeps verifications where all workers of a receiver see them: a small file each, in the data folder.

    DIR/verifications/ID.json     what is known of it
    DIR/verifications/ID.lock     held by the process that runs it

A verification that is not done and that no process runs any more has failed. The files are not synced to the disk:
after a power cut nobody waits for a verification.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from transfer.disk.locks import FileLock, file_lock, is_locked
from transfer.wire.errors import LimitReached, NotFound
from transfer.wire.receipt import Record
from transfer.wire.verification import Verification, VerificationState

log = logging.getLogger(__name__)

MAX_OPEN = 2
MAX_KEPT = 500
RESTARTED = "the receiver was restarted; start the verification again"
_OPEN = (VerificationState.WAITING, VerificationState.RUNNING)


class KeptVerification(Record):
    """A verification, and who asked for it."""

    verification: Verification
    token: str
    asked: str
    """A digest of what was asked for: the same request by the same token is the same verification."""


class OpenVerification:
    """A verification that this process runs."""

    def __init__(self, kept: KeptVerification, path: Path, lock: FileLock) -> None:
        self._kept = kept
        self._path = path
        self._lock = lock

    @property
    def now(self) -> Verification:
        """What was noted last."""
        return self._kept.verification

    def note(self, **changed: object) -> None:
        """Note what has changed."""
        verification = self._kept.verification.model_copy(update=changed)
        self._kept = self._kept.model_copy(update={"verification": verification})
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(self._kept.model_dump_json())
            temporary.replace(self._path)
        except OSError as error:  # on a full disk the verification goes on, and its end counts as a failure
            log.warning("cannot note how far the verification %s is: %s", self.now.id, error)

    def close(self) -> None:
        """Stop running it."""
        self._lock.path.unlink(missing_ok=True)
        self._lock.release()


class VerificationBook:
    """The verifications of a data folder.

    Parameters
    ----------
    folder
        The folder for their files; it is made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(
        self, session: str, token: str, paths: Sequence[str], total_files: int
    ) -> tuple[Verification, OpenVerification | None]:
        """Return a new verification that this process must run, or the one that runs for the same request already.

        Raises
        ------
        LimitReached
            This token has another one that is not done, or all tokens together have `MAX_OPEN`.
        OSError
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        asked = hashlib.sha256("\0".join([session, *paths]).encode()).hexdigest()
        with file_lock(self._folder / "begin.lock", wait=True):
            running = self._running()
            own = [kept for kept in running if kept.token == token]
            for kept in own:
                if kept.asked == asked:
                    return kept.verification, None
            self._require_place(own, len(running))
            self._remove_oldest()
            opened = self._make(session, token, asked, total_files)
        return opened.now, opened

    def _require_place(self, own: list[KeptVerification], running_count: int) -> None:
        if own:
            running = own[0].verification
            raise LimitReached(
                f"this token has a verification that is not done: {running.checked_files} of {running.total_files}"
                f" files of session {running.session} are read; no other one was started",
                hint="Wait until it is done, then try again, in a minute or so.",
                verification_id=str(running.id),
            )
        if running_count >= MAX_OPEN:
            raise LimitReached(
                f"the receiver runs {running_count} verifications, as many as it may; no other one was started",
                hint="Wait until one of them is done, then try again, in a minute or so.",
            )

    def get(self, session: str, verification_id: UUID) -> Verification:
        """Return a verification of a session.

        Raises
        ------
        NotFound
            There is none of this id in this session, or it ended long ago.
        """
        kept = self._read(verification_id)
        if kept is not None and kept.verification.state in _OPEN and not is_locked(self._lock_path(verification_id)):
            kept = self._read(verification_id)  # it may have ended in between
            if kept is not None and kept.verification.state in _OPEN:
                kept = _failed(kept)
        if kept is None or kept.verification.session != session:
            raise NotFound(
                f"there is no verification {verification_id} of session {session!r} on this receiver",
                hint="Start it again: the receiver keeps the last verifications only.",
            )
        return kept.verification

    def _make(self, session: str, token: str, asked: str, total_files: int) -> OpenVerification:
        verification = Verification(
            id=uuid4(),
            session=session,
            state=VerificationState.WAITING,
            total_files=total_files,
            checked_files=0,
            checked_bytes=0,
            problem_count=0,
            problems=(),
        )
        lock = FileLock(self._lock_path(verification.id))
        lock.try_acquire()
        kept = KeptVerification(verification=verification, token=token, asked=asked)
        opened = OpenVerification(kept, self._path(verification.id), lock)
        opened.note()
        return opened

    def _running(self) -> list[KeptVerification]:
        """Return what processes run at this moment; what ended with its process is noted as failed."""
        running = []
        for verification_id in self._ids(".lock"):
            lock = self._lock_path(verification_id)
            kept = self._read(verification_id)
            if is_locked(lock):
                running += [kept] if kept else []
                continue
            if kept and kept.verification.state in _OPEN:
                self._path(verification_id).write_text(_failed(kept).model_dump_json())
            lock.unlink(missing_ok=True)
        return running

    def _remove_oldest(self) -> None:
        found = []
        for verification_id in self._ids(".json") - self._ids(".lock"):
            path = self._path(verification_id)
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(found)[: max(0, len(found) - MAX_KEPT)]:
            path.unlink(missing_ok=True)

    def _read(self, verification_id: UUID) -> KeptVerification | None:
        try:
            return KeptVerification.model_validate_json(self._path(verification_id).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _ids(self, suffix: str) -> set[UUID]:
        found = set()
        for path in self._folder.glob(f"*{suffix}"):
            with suppress(ValueError):  # a file that is not ours
                found.add(UUID(path.stem))
        return found

    def _path(self, verification_id: UUID) -> Path:
        return self._folder / f"{verification_id}.json"

    def _lock_path(self, verification_id: UUID) -> Path:
        return self._folder / f"{verification_id}.lock"


def _failed(kept: KeptVerification) -> KeptVerification:
    changed = {"state": VerificationState.FAILED, "detail": RESTARTED}
    return kept.model_copy(update={"verification": kept.verification.model_copy(update=changed)})
