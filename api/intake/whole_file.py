"""A whole file in one request: its name reserved, its body taken, and committed, or the name given back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID, uuid4

from anyio import CancelScope, to_thread
from sqlalchemy.exc import DBAPIError

from api.intake.reception import Announced, Reception, receive
from api.intake.sources import BodySource
from api.receiver import Receiver
from api.store.commit import commit, commit_received, withdraw
from api.store.upload import Upload
from transfer.wire.digest import root_digest
from transfer.wire.errors import ReceiverBusy, UploadConflict, UploadGone
from transfer.wire.protocol import UploadDeclaration
from transfer.wire.receipt import Receipt

log = logging.getLogger(__name__)


class WholeFile:
    """One file that comes in one request.

    A file that this request alone brings is noted and committed by one change of the database, while its part file is
    still locked. One whose name another request reserved, with the same size, is joined, and goes the way of uploads.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._own: Upload | None = None  # the upload that this request made, until it is committed

    async def take(
        self, announced: Callable[[], tuple[UploadDeclaration, Announced]], body: BodySource
    ) -> tuple[Receipt, bool]:
        """Take a file's body; return the receipt and whether this request made the file.

        Parameters
        ----------
        announced
            Called in a thread before anything is done: returns which file it is, and what is said of the body; what
            it raises ends the request.

        Raises
        ------
        ReceiverBusy, NameTaken, ChunkCorrupt, ReceiverFull, ClientStalled, BadRequest, NotFound
        """
        try:
            reception, receipt = await receive(self._receiver, lambda: self._begin(*announced()), body, self._end)
            if receipt is not None:
                return receipt, True
            return await to_thread.run_sync(self._commit_joined, reception)
        except UploadGone as gone:  # that request ended without a file, and took the name back
            raise ReceiverBusy("another request for this name just ended") from gone
        finally:
            if self._own is not None:  # nobody can continue this upload
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._give_back, self._own)

    def _begin(self, declaration: UploadDeclaration, announced: Announced) -> Reception:
        upload, is_own = self._reserve(declaration)
        self._own = upload if is_own else None
        return Reception(self._receiver, upload, announced, is_new=is_own)

    def _reserve(self, declaration: UploadDeclaration) -> tuple[Upload, bool]:
        """Return the upload that takes the body, and whether this request made it."""
        book, require_space = self._receiver.uploads, self._receiver.storage.require_space
        try:
            return book.declare(uuid4(), declaration, require_space=require_space, one_request=True)
        except UploadConflict as conflict:
            other = book.find(UUID(str(conflict.extra["upload_id"])))
            if other is None:
                raise ReceiverBusy("another request for this name just ended") from conflict
            return other, False

    def _end(self, reception: Reception) -> Receipt | None:
        """Commit what came, if nobody else can have had a hand in it; else only note it."""
        if not reception.is_alone:
            reception.note()
            return None
        assert reception.fd is not None
        book, storage = self._receiver.uploads, self._receiver.storage
        receipt = commit_received(book, storage, reception.upload, reception.fd, reception.arrived)
        self._own = None
        return receipt

    def _commit_joined(self, reception: Reception) -> tuple[Receipt, bool]:
        wanted = root_digest(reception.digests)
        committed = commit(self._receiver.uploads, self._receiver.storage, reception.upload, wanted)
        self._own = None
        return committed

    def _give_back(self, upload: Upload) -> None:
        """Free the name."""
        try:
            withdraw(self._receiver.uploads, self._receiver.storage, upload, wait_s=0)
        except (ReceiverBusy, OSError, DBAPIError) as error:
            log.warning("%s stays reserved until the next sweep: %s", upload.name, error)
