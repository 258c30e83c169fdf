"""Reads and changes uploads in the database: their reservations, the chunks that arrived, their commit, their receipts.

Every change is made completely or not at all. Changes of requests that come at the same time share a transaction. The
bytes are in part files; see `api.store.storage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.database.engine import Database
from api.database.grouped_writes import GroupedWrites
from api.database.tables import data_folder, now, sessions, upload_chunks, uploads, withdrawn_uploads
from api.store.committed_files import CommittedFiles
from api.store.file_records import add_file
from api.store.promises import LeftUpload, RequireSpace, end_promises
from api.store.reservations import COLUMNS, add_committed, find_committed, find_upload, reserve, upload_of
from api.store.taken_names import free_path
from api.store.upload import StoredChunk, Upload, receipt_of, require_quiet
from transfer.wire.chunks import missing_ranges
from transfer.wire.errors import NameTaken, NotFound, ReceiverBusy, UploadGone
from transfer.wire.protocol import UploadDeclaration, UploadStatus
from transfer.wire.receipt import Receipt

_CHUNK = (upload_chunks.c.chunk, upload_chunks.c.digest, upload_chunks.c.run_id)
_CHUNKS = select(*_CHUNK).where(upload_chunks.c.upload_id == bindparam("upload_id"))
_WITH_CHUNKS = (
    select(*COLUMNS, *_CHUNK)
    .join_from(uploads, sessions)
    .join(
        upload_chunks,
        and_(
            upload_chunks.c.upload_id == uploads.c.id,
            upload_chunks.c.chunk >= bindparam("first"),
            upload_chunks.c.chunk < bindparam("stop"),
        ),
        isouter=True,
    )
    .where(uploads.c.id == bindparam("upload_id"))
)
_OF_GENERATION = and_(uploads.c.id == bindparam("upload_id"), uploads.c.generation == bindparam("of_generation"))
_TOUCH = update(uploads).where(_OF_GENERATION).values(touched_at=bindparam("moment"), promise_ended_at=None)
_END = delete(uploads).where(_OF_GENERATION)
_ADD_CHUNKS = insert(upload_chunks)
_FOLDER = select(data_folder.c.folder_id).where(data_folder.c.id == 1)


DECLARE_TRIES = 10


def no_upload(upload_id: UUID) -> NotFound:
    """Return the error that says that there never was such an upload."""
    return NotFound(f"there is no upload {upload_id}", hint="Declare the upload first; its client makes the id.")


class UploadBook:
    """Reads and changes the uploads.

    Parameters
    ----------
    database
        The receiver's database.
    run_id
        Identifies this run of the receiver; noted with every chunk.
    committed
        Looks at the files on the disk before an upload is called committed.
    max_open_uploads
        How many uploads in parts one token may have to which something was added lately.
    """

    def __init__(self, database: Database, run_id: str, committed: CommittedFiles, *, max_open_uploads: int) -> None:
        self._database = database
        self.max_open_uploads = max_open_uploads
        self._grouped = GroupedWrites(database)
        self._committed = committed
        self.run_id = run_id

    # reservation

    def declare(
        self,
        upload_id: UUID,
        declaration: UploadDeclaration,
        *,
        require_space: RequireSpace,
        one_request: bool = False,
        token_id: str | None = None,
    ) -> tuple[Upload, bool]:
        """Reserve a file's name for an upload; return the upload and whether it is new.

        If the same declaration comes again, or a file of this size is committed already and on the disk, its upload is
        returned. Only for a new upload `require_space` is called: with its size and what uploads were promised, those
        of the token `token_id` apart from all others.

        Raises
        ------
        NotFound
            No such session.
        UploadConflict
            Another upload of this size has reserved the name (the error's member `upload_id` names it), or this upload
            was declared differently.
        NameTaken
            Another file has the name, or the revision does not follow the newest one. The error's members `upload_id`
            and `state` name an upload of another size that is not committed; it may be withdrawn.
        NameDiffersInCase
            The name of a file or folder that is there differs only in upper and lower case.
        UploadGone
            The upload was withdrawn, or the disk has lost its file.
        ReceiverBusy
            The file is read again; ask later.
        RateLimited, LimitReached
            The token has too many uploads in parts, or the session too many files.
        """

        def change(connection: Connection) -> tuple[Upload, bool]:
            return reserve(
                connection,
                upload_id,
                declaration,
                require_space=require_space,
                one_request=one_request,
                token_id=token_id,
                max_open_uploads=self.max_open_uploads,
            )

        for _ in range(DECLARE_TRIES):
            try:
                upload, is_new = self._grouped.write(change)
            except IntegrityError:  # another process has reserved it; with SQLite the write lock prevents this
                continue
            if upload.file is None:
                return upload, is_new
            if self._committed.is_here(upload.file):
                if upload.size_bytes != declaration.size_bytes:
                    raise NameTaken(f"{upload.name} is committed with {upload.size_bytes} bytes")
                return upload, False
        raise ReceiverBusy(f"{declaration.path} was changed by others again and again; try later")

    # what is there

    def find(self, upload_id: UUID) -> Upload | None:
        """Return an upload; None if there is none (any more). A committed one may have lost its file."""
        with self._database.read() as connection:
            return find_upload(connection, upload_id)

    def find_there(self, upload_id: UUID) -> Upload | None:
        """Return an upload; None if there is none (any more), or if it is committed and the disk has lost its file.

        Raises
        ------
        ReceiverBusy
            The file is read again; ask later.
        """
        upload = self.find(upload_id)
        while upload and upload.file and not self._committed.is_here(upload.file):
            upload = self.find(upload_id)
        return upload

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
            There was no such upload, or it is not withdrawn.
        """
        with self._database.read() as connection:
            session: str | None = connection.scalar(
                select(sessions.c.name)
                .join_from(withdrawn_uploads, sessions)
                .where(withdrawn_uploads.c.id == upload_id)
            )
        if session is None:
            raise no_upload(upload_id)
        return session

    def chunks(self, upload_id: UUID) -> dict[int, StoredChunk]:
        """Return the chunks that arrived, by their number."""
        with self._database.read() as connection:
            rows = connection.execute(_CHUNKS, {"upload_id": upload_id}).all()
        return {chunk: StoredChunk(digest, run_id) for chunk, digest, run_id in rows}

    def with_chunks(self, upload_id: UUID, numbers: range) -> tuple[Upload, dict[int, StoredChunk]]:
        """Return an upload, and which of these chunks of it have arrived, at one moment; none of a committed one.

        Raises
        ------
        UploadGone, NotFound
        """
        wanted = {"upload_id": upload_id, "first": numbers.start, "stop": numbers.stop}
        with self._database.read() as connection:
            rows = connection.execute(_WITH_CHUNKS, wanted).all()
            committed = None if rows else find_committed(connection, upload_id)
        if committed is not None:
            return committed, {}
        if not rows:
            self.withdrawn_session(upload_id)
            raise UploadGone
        return upload_of(rows[0]), {
            row.chunk: StoredChunk(row.digest, row.run_id) for row in rows if row.chunk is not None
        }

    def missing(self, upload: Upload) -> list[range]:
        """Return the ranges of bytes that have not arrived."""
        return missing_ranges(self.chunks(upload.id), upload.size_bytes)

    def status(self, upload: Upload) -> UploadStatus:
        """Return the status of an upload for its client."""
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
        """Return the receipt of a committed upload, whose file was there before."""
        assert upload.file is not None
        with self._database.read() as connection:
            return receipt_of(upload.file, connection.scalar(_FOLDER), is_new=False)

    # what arrives

    def mark(self, upload: Upload, arrived: Mapping[int, bytes]) -> None:
        """Note chunks that are in the part file: their BLAKE3 digests by number.

        Raises
        ------
        ReceiverBusy
            The part file was replaced meanwhile; the chunks must be sent again.
        """

        def change(connection: Connection) -> None:
            self._require_generation(connection, upload)
            self._add_chunks(connection, upload, arrived)

        self._grouped.write(change)

    def _add_chunks(self, connection: Connection, upload: Upload, arrived: Mapping[int, bytes]) -> None:
        if arrived:
            common = {"upload_id": upload.id, "run_id": self.run_id}
            connection.execute(
                _ADD_CHUNKS, [{**common, "chunk": number, "digest": digest} for number, digest in arrived.items()]
            )

    def unmark(self, upload: Upload, numbers: list[int]) -> None:
        """Remove the notes of chunks that will be overwritten or that the disk has lost."""
        with self._database.write() as connection:
            self._require_generation(connection, upload)
            connection.execute(
                delete(upload_chunks).where(upload_chunks.c.upload_id == upload.id, upload_chunks.c.chunk.in_(numbers))
            )

    def _require_generation(self, connection: Connection, upload: Upload) -> None:
        if not connection.execute(_TOUCH, _now_of(upload)).rowcount:
            raise ReceiverBusy("the upload was restarted while this was received; send this again")

    def restart(self, upload: Upload) -> None:
        """Remove the notes of all chunks: the part file may have lost bytes, and an empty one replaces it."""
        with self._database.write() as connection:
            self._require_generation(connection, upload)
            connection.execute(delete(upload_chunks).where(upload_chunks.c.upload_id == upload.id))
            connection.execute(
                update(uploads).where(uploads.c.id == upload.id).values(generation=upload.generation + 1)
            )

    def end_promises(self, left: Sequence[LeftUpload]) -> None:
        """End the promises of uploads to which nothing was added since their last connection closed."""
        self._grouped.write(lambda connection: end_promises(connection, left))

    # its end

    def record_commit(self, upload: Upload, root_digest: str, mtime_ns: int, *, is_new: bool = True) -> Receipt:
        """Record a published file. Once this returns, the client may have the receipt.

        Parameters
        ----------
        mtime_ns
            The published file's time stamp.
        is_new
            Whether it was made of what was sent; otherwise a file of this content had the name already.

        Raises
        ------
        UploadGone
            The upload was withdrawn meanwhile.
        """

        def change(connection: Connection) -> Receipt:
            if not connection.execute(_END, {"upload_id": upload.id, "of_generation": upload.generation}).rowcount:
                raise UploadGone
            file, folder_id = add_file(connection, upload, root_digest, mtime_ns)
            add_committed(connection, upload.id, file.id)
            return receipt_of(file, folder_id, is_new=is_new)

        return self._grouped.write(change)

    def withdraw(self, upload: Upload, quiet_since: datetime | None = None) -> None:
        """Free an upload's reservation, unless it is committed.

        Raises
        ------
        ReceiverBusy
            Something was added to it since `quiet_since`.
        """
        unfinished = delete(uploads).where(uploads.c.id == upload.id)
        if quiet_since is not None:
            unfinished = unfinished.where(uploads.c.touched_at <= quiet_since)
        with self._database.write() as connection:
            if connection.execute(unfinished).rowcount:
                connection.execute(
                    insert(withdrawn_uploads).values(id=upload.id, session_id=upload.session_id, at=now())
                )
                free_path(connection, upload.session_id, upload.path)
                return
            left = find_upload(connection, upload.id)
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
            wanted = select(*COLUMNS).join_from(uploads, sessions).where(*conditions)
            return [upload_of(row) for row in connection.execute(wanted)]


def _now_of(upload: Upload) -> dict[str, object]:
    """Return the parameters of the statements that change an upload if its generation is still the same."""
    return {"upload_id": upload.id, "of_generation": upload.generation, "moment": now()}
