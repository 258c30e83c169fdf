"""Fills a receiver with published exposures through its own functions; it must not run meanwhile.

The files are sparse: they have the size that the database says, and hold zeros. A registrar that reads micrographs
finds a float32 copy, as the receiver makes one, which consists of a header and a hole.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self
from uuid import uuid4

import mrcfile

from api.app import prepared
from api.checking.committed_rows import files_without_sha256
from api.checking.findings import note_sha256
from api.receiver import Receiver
from api.registrars import Registrar
from api.registrars.float32 import registered_path
from api.registrars.outbox import Outbox, PendingBatch
from api.registrars.runner import make_registrars
from api.registrars.settings import RegistrarSettings
from api.routes.sessions import create_session, session_id_of
from api.settings import ReceiverSettings
from api.store.claims import ClaimBook
from api.store.committed_files import CommittedFiles
from api.store.on_disk import FileOnDisk
from api.store.promises import PromisedSpace
from api.store.publication import publish
from api.store.upload_book import UploadBook
from benchmarks.errors import ProgramFailed
from benchmarks.flow.batched_database import BatchedDatabase
from benchmarks.flow.filled_journal import MOVIE_BYTES, SETTINGS_DIGEST, digests_of_movie
from transfer.wire.exposure_claim import MAX_CLAIMS, ClaimBatch, ClaimStatus, MovieClaim
from transfer.wire.exposure_record import ExposureRecord, FileReference
from transfer.wire.protocol import RegistrationState, UploadDeclaration
from transfer.wire.verification import FileCheck

SCIPION = "scipion"
_SCIPION_TIMEOUT_S = 300.0
_POLL_S = 0.1
_IN_A_TRANSACTION = 50
"""Exposures. PostgreSQL keeps every version of a counter's row until its transaction ends, and looks through them."""
_HEADER_BYTES, _FLOAT32_MODE = 1024, 2
_ZEROS = bytes(1 << 20)


class FilledReceiver:
    """A receiver's data folder and database while they are filled.

    Parameters
    ----------
    settings
        As the receiver will run with.
    session
        The session that gets the exposures; it is started if it does not exist.
    """

    def __init__(self, settings: ReceiverSettings, session: str) -> None:
        self._receiver = Receiver(settings)
        self._receiver.database.close()
        self._database = BatchedDatabase(settings.database_url)
        self._receiver.database = self._database
        self._book = self._receiver.uploads = UploadBook(
            self._database,
            settings.run_id,
            CommittedFiles(self._database, self._receiver.storage),
            max_open_uploads=settings.max_open_uploads,
        )
        self._data, self._session = settings.data.absolute(), session
        create_session(self._receiver.database, session, "filling")
        with self._database.read() as connection:
            self._session_id = session_id_of(connection, session)
        self._claims, self._agent = ClaimBook(self._database, self._receiver.storage, self._receiver.clock), uuid4()
        self._registrars = make_registrars(settings.registrars, self._data)
        self._slow: PendingBatch | None = None
        self._last_file = 0
        while rows := files_without_sha256(self._database, self._last_file):
            self._last_file = rows[-1].id  # their content is not known here
        self.seconds: dict[str, float] = {}

    @classmethod
    @contextmanager
    def opened(cls, data: Path, database: str | None, registrars: RegistrarSettings, session: str) -> Iterator[Self]:
        """Hold the data folder, as a receiver does, and give out what fills it."""
        settings = ReceiverSettings(data=data, database=database, registrars=registrars, reserve_bytes=0)
        with prepared(settings):
            filled = cls(settings, session)
            try:
                yield filled
            finally:
                filled._database.close()

    def add(self, records: Sequence[ExposureRecord]) -> None:
        """Claim exposures, commit their files, publish their records, and have the registrars register them."""
        with self._timed("claims"), self._database.together():
            for start in range(0, len(records), MAX_CLAIMS):
                self._claim(records[start : start + MAX_CLAIMS])
        for start in range(0, len(records), _IN_A_TRANSACTION):
            self._commit_and_publish(records[start : start + _IN_A_TRANSACTION])
        for registrar in self._registrars:
            with self._timed(registrar.name):
                self._register(registrar, len(records))

    def _commit_and_publish(self, records: Sequence[ExposureRecord]) -> None:
        with self._timed("files"), self._database.together():
            for record in records:
                for file in record.files:
                    self._commit(file)
            self._note_sha256()
        with self._timed("records"), self._database.together():
            for record in records:
                with self._database.write() as connection:
                    publish(connection, self._receiver.registrar_names, self._session_id, record)

    def finish(self) -> None:
        """Wait until every registrar has registered everything."""
        for registrar in self._registrars:
            if registrar.name == SCIPION:
                with self._timed(registrar.name):
                    self._await(registrar)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.monotonic() - began_s

    def _claim(self, records: Sequence[ExposureRecord]) -> None:
        claims = tuple(claim_of(record) for record in records)
        answers = self._claims.answer(self._session_id, ClaimBatch(agent=self._agent, claims=claims))
        for claim, answer in zip(claims, answers, strict=True):
            if (answer.status, answer.exposure_id, answer.stem) != (ClaimStatus.CLAIMED, claim.exposure_id, claim.stem):
                raise ProgramFailed(f"the receiver did not grant the claim of {claim.path}: {answer.status}")

    def _commit(self, file: FileReference) -> None:
        declared = UploadDeclaration(
            session=self._session, path=file.path, revision=file.revision, size_bytes=file.size_bytes
        )
        upload, _ = self._book.declare(uuid4(), declared, require_space=_has_room, one_request=True)
        place = self._data / upload.location
        make_sparse(place, file.size_bytes)
        self._book.record_commit(upload, file.digest, place.stat().st_mtime_ns)

    def _note_sha256(self) -> None:
        """Note the SHA-256 of each file, which the receiver would otherwise compute in the background."""
        while rows := files_without_sha256(self._database, self._last_file):
            seen = [FileOnDisk(FileCheck.SAME, sha256=sha256_of_zeros(row.size_bytes)) for row in rows]
            note_sha256(self._database, zip(rows, seen, strict=True))
            self._last_file = rows[-1].id

    # ---- registrars

    def _register(self, registrar: Registrar, count: int) -> None:
        """Give a registrar what is pending. Scipion's follower works on it while this process goes on."""
        if registrar.name == SCIPION:
            self._await(registrar)
        outbox = Outbox(self._database, self._data, registrar.name)
        with self._database.together():
            batches = outbox.batches(count, ())
            for batch in batches:
                outbox.note_project(batch.session_id, registrar.project(batch.place))
                self._make_copies(batch)
                if registrar.name == SCIPION:
                    self._slow = batch
                else:
                    outbox.settle(batch, registrar.register(batch.place, batch.exposures))
        if registrar.name == SCIPION and self._slow is not None:
            registrar.register(self._slow.place, self._slow.exposures)

    def _await(self, registrar: Registrar) -> None:
        """Wait until Scipion's follower has registered what it was given last, and note it.

        Raises
        ------
        ProgramFailed
        """
        batch, self._slow = self._slow, None
        if batch is None:
            return
        deadline = time.monotonic() + _SCIPION_TIMEOUT_S
        while True:
            outcomes = registrar.register(batch.place, batch.exposures)
            states = {outcome.state for outcome in outcomes.values()}
            if states == {RegistrationState.REGISTERED}:
                break
            if RegistrationState.FAILED in states or time.monotonic() > deadline:
                reasons = {outcome.detail for outcome in outcomes.values() if outcome.detail}
                raise ProgramFailed(f"Scipion did not register the exposures: {'; '.join(reasons) or 'no answer'}")
            time.sleep(_POLL_S)
        with self._database.together():
            Outbox(self._database, self._data, registrar.name).settle(batch, outcomes)

    def _make_copies(self, batch: PendingBatch) -> None:
        for exposure in batch.exposures:
            path = registered_path(batch.place, exposure)
            if not path.exists():
                record = exposure.record
                shape = (record.micrograph_height_px, record.micrograph_width_px)
                make_sparse(path, _HEADER_BYTES + 4 * shape[0] * shape[1], float32_header(shape))


def claim_of(record: ExposureRecord) -> MovieClaim:
    """Return the claim that an agent would have made for an exposure of a filled journal."""
    sampled, whole = digests_of_movie(record.movie)
    return MovieClaim(
        exposure_id=record.exposure_id,
        stem=record.files[0].path.removesuffix(Path(record.files[0].path).suffix),
        path=record.movie,
        size_bytes=MOVIE_BYTES,
        sampled_digest=sampled,
        movie_digest=whole,
        settings_digest=SETTINGS_DIGEST,
    )


def _has_room(_size_bytes: int, _promised: PromisedSpace) -> None:
    """Let every upload in: a sparse file takes no room."""


def make_sparse(path: Path, size_bytes: int, beginning: bytes = b"") -> None:
    """Make a file of this size that takes the room of its beginning only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(beginning)
        file.truncate(size_bytes)


@cache
def sha256_of_zeros(size_bytes: int) -> str:
    """Return the SHA-256, in hex, of a file of so many zeros."""
    whole, rest = divmod(size_bytes, len(_ZEROS))
    digest = hashlib.sha256()
    for _ in range(whole):
        digest.update(_ZEROS)
    digest.update(_ZEROS[:rest])
    return digest.hexdigest()


@cache
def float32_header(shape: tuple[int, int]) -> bytes:
    """Return the header of an MRC file of float32 pixels, 1024 bytes."""
    with tempfile.TemporaryDirectory(prefix="cryoferry-bench-") as folder:
        path = Path(folder) / "header.mrc"
        with mrcfile.new_mmap(path, shape, mrc_mode=_FLOAT32_MODE):  # a hole, too
            pass
        with path.open("rb") as file:
            return file.read(_HEADER_BYTES)
