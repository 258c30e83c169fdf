"""Receives a whole file in one request: reserves its name, takes the body, commits it or frees the name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID, uuid4

from anyio import CancelScope, to_thread
from sqlalchemy.exc import DBAPIError

from api.intake.contract import Announced, IntakeResources
from api.intake.receiving import receive
from api.intake.reception import Reception
from api.intake.sources import BodySource
from api.store.commit import commit, commit_received
from api.store.upload import Upload
from api.store.withdraw import withdraw
from transfer.wire.digest import root_digest
from transfer.wire.errors import ReceiverBusy, UploadConflict, UploadGone
from transfer.wire.protocol import UploadDeclaration
from transfer.wire.receipt import Receipt

log = logging.getLogger(__name__)


class WholeFile:
    """One file that comes in one request.

    If this request reserved the name, one change of the database notes and commits the file, while its part file is
    still locked. If another request reserved the name for a file of the same size, this body joins that upload.

    Parameters
    ----------
    resources
        The receiver's part.
    token_id
        Of the request's token.
    """

    def __init__(self, resources: IntakeResources, token_id: str) -> None:
        self._resources, self._token_id = resources, token_id
        self._own: Upload | None = None  # the upload that this request made, until it is committed

    async def take(
        self, announced: Callable[[], tuple[UploadDeclaration, Announced]], body: BodySource
    ) -> tuple[Receipt, bool]:
        """Receive a file's body; return the receipt and whether this request made the file.

        Parameters
        ----------
        announced
            Called in a thread before anything is done. Returns which file it is and what the request says of the body;
            an error that it raises ends the request.
        body
            The body.

        Raises
        ------
        ReceiverBusy, NameTaken, ChunkCorrupt, ReceiverFull, LimitReached, ClientStalled, BadRequest, NotFound
        """
        try:
            reception, receipt = await receive(self._resources, lambda: self._begin(*announced()), body, self._end)
            if receipt is not None:
                return receipt, True
            return await to_thread.run_sync(self._commit_joined, reception)
        except UploadGone as gone:  # that request ended without a file and freed the name
            raise ReceiverBusy("another request for this name has just ended") from gone
        finally:
            if self._own is not None:  # no other request can continue this upload
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._free_name, self._own)

    def _begin(self, declaration: UploadDeclaration, announced: Announced) -> Reception:
        upload, is_own = self._reserve(declaration)
        self._own = upload if is_own else None
        return Reception(self._resources, upload, announced, is_new=is_own)

    def _reserve(self, declaration: UploadDeclaration) -> tuple[Upload, bool]:
        """Return the upload that takes the body, and whether this request made it."""
        book, require_space = self._resources.uploads, self._resources.storage.require_space
        try:
            return book.declare(
                uuid4(), declaration, require_space=require_space, one_request=True, token_id=self._token_id
            )
        except UploadConflict as conflict:
            other = book.find(UUID(str(conflict.extra["upload_id"])))
            if other is None:
                raise ReceiverBusy("another request for this name has just ended") from conflict
            return other, False

    def _end(self, reception: Reception) -> Receipt | None:
        """Commit the file if no other request can have written in it; otherwise only note the chunks."""
        if not reception.is_alone:
            reception.note()
            return None
        assert reception.fd is not None
        book, storage = self._resources.uploads, self._resources.storage
        receipt = commit_received(book, storage, reception.upload, reception.fd, reception.arrived)
        self._own = None
        return receipt

    def _commit_joined(self, reception: Reception) -> tuple[Receipt, bool]:
        wanted = root_digest(reception.digests)
        committed = commit(self._resources.uploads, self._resources.storage, reception.upload, wanted)
        self._own = None
        return committed

    def _free_name(self, upload: Upload) -> None:
        """Free the reserved name."""
        try:
            withdraw(self._resources.uploads, self._resources.storage, upload, wait_s=0)
        except (ReceiverBusy, OSError, DBAPIError) as error:
            log.warning("%s stays reserved until the next sweep: %s", upload.name, error)
