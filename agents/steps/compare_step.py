"""Compares the movie of one released exposure with what was aligned, because it looks touched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from agents.finding.source_access import SourceAccess
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, AlignmentWorker, DigestJob, FailureKind
from transfer.wire.exposure_claim import ClaimReason

log = logging.getLogger(__name__)

_REPLACED = "the movie was replaced by another one of the same size after it had been processed"


class CompareStep:
    """Notes the identity that a movie has now, or begins its exposure again if its content is another one.

    Parameters
    ----------
    access
        Asks the share.
    tell
        Tells the receiver the first digest of a movie that an agent of an older version has sent, so that the movie
        is known there under another name too.
    """

    def __init__(
        self,
        settings: WatchSettings,
        journal: Journal,
        should_stop: Callable[[], bool],
        access: SourceAccess,
        tell: Callable[[ExposureRow], object] = lambda _: None,
    ) -> None:
        self._settings, self._journal, self._should_stop, self._tell = settings, journal, should_stop, tell
        self._access = access

    def run(self, exposure_id: UUID, worker: AlignmentWorker) -> bool:
        """Compare one movie by its sampled digest; return whether that was possible, or is not needed any more.

        An exposure of an older agent, which noted no digest, gets the digest of what is there now: what only looks
        touched is taken as unchanged.
        """
        exposure = self._journal.exposure(exposure_id)
        if exposure.state != State.RELEASED or exposure.identity is None:
            return True
        movie = movie_path(self._settings.source, exposure.movie)
        try:
            before = self._access.identity(movie)
            if before.size_bytes != exposure.identity.size_bytes:
                return True  # the scan sees that it is another one
            job = DigestJob(movie=str(movie), is_whole=False, timeout_s=self._settings.align_timeout_s)
            digests = worker.digest(job, self._should_stop)
            after = self._access.identity(movie)
        except OSError as error:
            log.debug("%s cannot be compared now: %s", exposure.movie, error)
            return False
        if isinstance(digests, AlignmentFailure):
            if digests.kind is not FailureKind.STOPPED:
                log.warning("%s cannot be compared now: %s; it is tried again", exposure.movie, digests.reason)
            return False
        if before.is_untouched(after):  # otherwise something writes to it, and the next scan looks again
            self._conclude(exposure_id, after, digests.sampled_digest)
        return True

    def _conclude(self, exposure_id: UUID, identity: FileIdentity, sampled_digest: str) -> None:
        with self._journal.transaction():
            exposure = self._journal.exposure(exposure_id)
            if exposure.state != State.RELEASED:
                return
            if exposure.sampled_digest in (None, sampled_digest):
                self._journal.note_movie(exposure_id, identity, sampled_digest=sampled_digest)
                again = None
            else:
                again = self._journal.begin_again(exposure_id, _REPLACED, reason=ClaimReason.CHANGED)
        if again is not None:
            log.warning("%s: %s; it is processed again as revision %d", exposure.movie, _REPLACED, again.revision)
        elif exposure.sampled_digest is None:
            self._tell(self._journal.exposure(exposure_id))
