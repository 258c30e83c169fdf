"""The uploads as the database knows them: reservations, the chunks that arrived, receipts.

A row of `uploads` is the reservation of its (session, path, revision): the unique constraint decides between racing
clients, before the first byte. Every change is all or nothing; those
of requests that come together share a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from api.database import Database, add_event, files, now, sessions, upload_chunks, uploads, withdrawn_uploads
from api.grouped_writes import GroupedWrites
from api.upload import StoredChunk, Upload, receipt_of, require_quiet
from transfer.chunks import CHUNK_BYTES, missing_ranges
from transfer.errors import NameTaken, NotFound, ReceiverBusy, UploadConflict, UploadGone
from transfer.protocol import UploadDeclaration, UploadState, UploadStatus
from transfer.records import Receipt

_UPLOAD = select(
    uploads.c.id,
    uploads.c.session_id,
    sessions.c.name.label("session"),
    uploads.c.path,
    uploads.c.revision,
    uploads.c.size_bytes,
    uploads.c.state,
    uploads.c.generation,
    uploads.c.one_request,
    uploads.c.touched_at,
).join_from(uploads, sessions)


# Written out, not bound: only so SQLite sees that the index of unfinished uploads will do.
_UNFINISHED = uploads.c.state == literal_column(f"'{UploadState.RECEIVING.value}'")

PROMISE_S = 600.0
"""For how long after its last sign of life space is kept for the rest of an upload."""


def _promised_bytes(connection: Connection) -> int:
    """Return how many bytes the uploads that are alive have yet to receive."""
    alive = (
        select(uploads.c.size_bytes, func.count(upload_chunks.c.chunk))
        .join_from(uploads, upload_chunks, isouter=True)
        .where(_UNFINISHED, uploads.c.touched_at > now() - timedelta(seconds=PROMISE_S))
        .group_by(uploads.c.id)
    )
    # A last chunk counts as whole, though it may be short.
    return sum(max(0, size - chunk_count * CHUNK_BYTES) for size, chunk_count in connection.execute(alive))


def _find(connection: Connection, *conditions: ColumnElement[bool]) -> Upload | None:
    row = connection.execute(_UPLOAD.where(*conditions)).mappings().one_or_none()
    return None if row is None else Upload(**{**row, "state": UploadState(row["state"])})


class UploadBook:
    """Reads and changes the uploads.

    Parameters
    ----------
    database
        The receiver's database.
    run_id
        This run of the receiver, noted with every chunk.
    """

    def __init__(self, database: Database, run_id: str) -> None:
        self._database = database
        self._grouped = GroupedWrites(database)
        self.run_id = run_id

    # reservation

    def declare(
        self,
        upload_id: UUID,
        declaration: UploadDeclaration,
        *,
        require_space: Callable[[int, int], None],
        one_request: bool = False,
    ) -> tuple[Upload, bool]:
        """Reserve a file's name for an upload; return the upload and whether it is new.

        The same declaration again, and that of a file of this size that is committed already, give what is there.
        `require_space` is asked for a new upload alone: with its size and what other uploads, touched within
        `PROMISE_S`, have yet to receive.

        Raises
        ------
        NotFound
            No such session.
        UploadConflict
            The name is reserved by another upload of this size (`upload_id` among the error's members), or this upload
            was declared differently.
        NameTaken
            Another file has the name, or the revision does not follow the newest one. An upload of another size that is
            not committed is named (`upload_id`, `state`): once it is quiet, it may be withdrawn.
        UploadGone
            The upload was withdrawn.
        """

        def change(connection: Connection) -> tuple[Upload, bool]:
            found = self._declared_before(connection, upload_id, declaration)
            if found:
                return found, False
            require_space(declaration.size_bytes, _promised_bytes(connection))
            self._insert(connection, upload_id, declaration, one_request=one_request)
            made = _find(connection, uploads.c.id == upload_id)
            assert made is not None
            return made, True

        try:
            return self._grouped.write(change)
        except IntegrityError:  # another process was quicker; where SQLite is used alone, the write lock prevents it
            return self.declare(upload_id, declaration, require_space=require_space, one_request=one_request)

    def _declared_before(
        self, connection: Connection, upload_id: UUID, declaration: UploadDeclaration
    ) -> Upload | None:
        own = _find(connection, uploads.c.id == upload_id)
        if own:
            if (own.session, own.path, own.revision, own.size_bytes) != _identity(declaration):
                raise UploadConflict(f"upload {upload_id} was declared for {own.name} with {own.size_bytes} bytes")
            return own
        if connection.execute(select(withdrawn_uploads.c.id).where(withdrawn_uploads.c.id == upload_id)).first():
            raise UploadGone
        other = _find(
            connection,
            sessions.c.name == declaration.session,
            uploads.c.path == declaration.path,
            uploads.c.revision == declaration.revision,
        )
        if other is None:
            return None
        if other.committed:
            if other.size_bytes != declaration.size_bytes:
                raise NameTaken(f"{other.name} is committed with {other.size_bytes} bytes")
            return other
        members = {"upload_id": str(other.id), "state": other.state.value}
        if other.size_bytes != declaration.size_bytes:
            raise NameTaken(
                f"{other.name} is reserved by upload {other.id} for {other.size_bytes} bytes",
                hint="Leave it alone while it grows; one that was given up can be withdrawn.",
                **members,
            )
        raise UploadConflict(
            f"{other.name} is reserved by upload {other.id}",
            hint="Continue that upload: ask which ranges it lacks, send them, commit.",
            **members,
        )

    def _insert(
        self, connection: Connection, upload_id: UUID, declaration: UploadDeclaration, *, one_request: bool
    ) -> None:
        session_id = connection.scalar(select(sessions.c.id).where(sessions.c.name == declaration.session))
        if session_id is None:
            raise NotFound(f"there is no session {declaration.session!r}")
        newest = connection.scalar(
            select(func.max(files.c.revision)).where(files.c.session_id == session_id, files.c.path == declaration.path)
        )
        if declaration.revision != (newest or 0) + 1:
            raise NameTaken(
                f"{declaration.path} has {newest or 'no'} committed revision{'s' if newest else ''}; "
                f"the next is {(newest or 0) + 1}, not {declaration.revision}"
            )
        connection.execute(
            insert(uploads).values(
                id=upload_id,
                session_id=session_id,
                path=declaration.path,
                revision=declaration.revision,
                size_bytes=declaration.size_bytes,
                state=UploadState.RECEIVING.value,
                generation=1,
                one_request=one_request,
                touched_at=now(),
            )
        )

    # what is there

    def find(self, upload_id: UUID) -> Upload | None:
        """Return an upload; None where there is none (any more)."""
        with self._database.read() as connection:
            return _find(connection, uploads.c.id == upload_id)

    def require(self, upload_id: UUID) -> Upload:
        """Return an upload.

        Raises
        ------
        UploadGone, NotFound
        """
        upload = self.find(upload_id)
        if upload is None:
            self.withdrawn_session(upload_id)
            raise UploadGone
        return upload

    def withdrawn_session(self, upload_id: UUID) -> str:
        """Return the session of an upload that was withdrawn.

        Raises
        ------
        NotFound
            It never was, or is not withdrawn.
        """
        with self._database.read() as connection:
            session: str | None = connection.scalar(
                select(sessions.c.name)
                .join_from(withdrawn_uploads, sessions)
                .where(withdrawn_uploads.c.id == upload_id)
            )
        if session is None:
            raise NotFound(f"there is no upload {upload_id}")
        return session

    def chunks(self, upload_id: UUID, numbers: range | None = None) -> dict[int, StoredChunk]:
        """Return the chunks that arrived, by their number; of all, or of `numbers` only."""
        wanted = select(upload_chunks.c.chunk, upload_chunks.c.digest, upload_chunks.c.run_id).where(
            upload_chunks.c.upload_id == upload_id
        )
        if numbers is not None:
            wanted = wanted.where(upload_chunks.c.chunk >= numbers.start, upload_chunks.c.chunk < numbers.stop)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return {chunk: StoredChunk(digest, run_id) for chunk, digest, run_id in rows}

    def missing(self, upload: Upload) -> list[range]:
        """Return the ranges of bytes that have not arrived."""
        return missing_ranges(self.chunks(upload.id), upload.size_bytes)

    def status(self, upload: Upload) -> UploadStatus:
        """Return what the client may know of an upload."""
        missing_bytes = 0 if upload.committed else sum(map(len, self.missing(upload)))
        return UploadStatus(
            session=upload.session,
            path=upload.path,
            revision=upload.revision,
            size_bytes=upload.size_bytes,
            upload_id=upload.id,
            state=upload.state,
            received_bytes=upload.size_bytes - missing_bytes,
        )

    def receipt(self, upload: Upload) -> Receipt:
        """Return the receipt of a committed upload."""
        with self._database.read() as connection:
            digest: str = connection.scalars(
                select(files.c.digest).where(
                    files.c.session_id == upload.session_id,
                    files.c.path == upload.path,
                    files.c.revision == upload.revision,
                )
            ).one()
        return receipt_of(upload, digest)

    # what arrives

    def mark(self, upload: Upload, arrived: Mapping[int, bytes]) -> None:
        """Note chunks that are in the part file, by number and BLAKE3 digest.

        Raises
        ------
        ReceiverBusy
            The part file was given up meanwhile: they must be sent again.
        """

        def change(connection: Connection) -> None:
            self._require_generation(connection, upload)
            if not arrived:
                return
            connection.execute(
                insert(upload_chunks),
                [
                    {"upload_id": upload.id, "chunk": number, "digest": digest, "run_id": self.run_id}
                    for number, digest in arrived.items()
                ],
            )

        self._grouped.write(change)

    def unmark(self, upload: Upload, numbers: list[int]) -> None:
        """Forget chunks, because they are about to be overwritten or are not what they were."""
        with self._database.write() as connection:
            self._require_generation(connection, upload)
            connection.execute(
                delete(upload_chunks).where(upload_chunks.c.upload_id == upload.id, upload_chunks.c.chunk.in_(numbers))
            )

    def _require_generation(self, connection: Connection, upload: Upload) -> None:
        same = connection.execute(
            update(uploads)
            .where(
                uploads.c.id == upload.id,
                uploads.c.generation == upload.generation,
                uploads.c.state == UploadState.RECEIVING.value,
            )
            .values(touched_at=now())
        )
        if not same.rowcount:
            raise ReceiverBusy("the upload changed while this was received; send it again")

    def restart(self, upload: Upload) -> None:
        """Forget all that arrived of an upload: its part file may have lost bytes, the next one starts empty."""
        with self._database.write() as connection:
            self._require_generation(connection, upload)
            connection.execute(delete(upload_chunks).where(upload_chunks.c.upload_id == upload.id))
            connection.execute(
                update(uploads).where(uploads.c.id == upload.id).values(generation=upload.generation + 1)
            )

    # its end

    def record_commit(self, upload: Upload, root_digest: str) -> Receipt:
        """Record a published file; the receipt may be given when this returns.

        Raises
        ------
        UploadGone
            It was withdrawn meanwhile.
        """

        def change(connection: Connection) -> None:
            changed = connection.execute(
                update(uploads)
                .where(uploads.c.id == upload.id, uploads.c.state == UploadState.RECEIVING.value)
                .values(state=UploadState.COMMITTED.value, touched_at=now())
            )
            if not changed.rowcount:
                raise UploadGone
            connection.execute(
                insert(files).values(
                    session_id=upload.session_id,
                    path=upload.path,
                    revision=upload.revision,
                    size_bytes=upload.size_bytes,
                    digest=root_digest,
                    location=upload.location,
                    committed_at=now(),
                )
            )
            detail = f"revision {upload.revision}, {upload.size_bytes} bytes"
            add_event(connection, upload.session_id, "file-committed", upload.path, detail)

        self._grouped.write(change)
        return receipt_of(upload, root_digest)

    def withdraw(self, upload: Upload, quiet_since: datetime | None = None) -> None:
        """Free an upload's reservation, unless it is committed.

        Raises
        ------
        ReceiverBusy
            Something was added to it since `quiet_since`.
        """
        unfinished = delete(uploads).where(uploads.c.id == upload.id, uploads.c.state == UploadState.RECEIVING.value)
        if quiet_since is not None:
            unfinished = unfinished.where(uploads.c.touched_at <= quiet_since)
        with self._database.write() as connection:
            if connection.execute(unfinished).rowcount:
                connection.execute(
                    insert(withdrawn_uploads).values(id=upload.id, session_id=upload.session_id, at=now())
                )
                return
            left = _find(connection, uploads.c.id == upload.id)
        if left and not left.committed:
            require_quiet(left, quiet_since)

    def untouched_since(self, moment: datetime) -> list[Upload]:
        """Return the uncommitted uploads to which nothing was added since then."""
        return self._receiving(uploads.c.touched_at < moment)

    def receiving(self) -> list[Upload]:
        """Return all uncommitted uploads."""
        return self._receiving()

    def _receiving(self, *conditions: ColumnElement[bool]) -> list[Upload]:
        with self._database.read() as connection:
            wanted = select(uploads.c.id).where(_UNFINISHED, *conditions)
            found = [_find(connection, uploads.c.id == upload_id) for upload_id in connection.scalars(wanted)]
        return [upload for upload in found if upload]


def _identity(declaration: UploadDeclaration) -> tuple[str, str, int, int]:
    return declaration.session, declaration.path, declaration.revision, declaration.size_bytes
