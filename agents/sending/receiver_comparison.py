"""Compares everything that was released with what the receiver has, and takes up again what is missing there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from agents.boundary import contained
from agents.journal.journal import Journal
from agents.journal.opening import JOURNAL_ERRORS
from agents.journal.rows import ReleasedExposure
from agents.sending.claims import Claims
from agents.sending.receiver_memory import ReceiverMemory
from transfer.client import ReceiverClient
from transfer.wire.errors import TransferError
from transfer.wire.exposure_claim import ClaimStatus
from transfer.wire.verification import FileCheck

log = logging.getLogger(__name__)

_AT_ONCE = 200
_RETRY_S = 10.0
_LOST = "the receiver has lost it"


class ReceiverComparison:
    """Compares in a thread of its own, whenever the memory of the receiver asks for it.

    Parameters
    ----------
    client
        Used by this thread alone.
    changed
        Called when exposures were taken up again.
    """

    def __init__(
        self,
        journal: Journal,
        claims: Claims,
        memory: ReceiverMemory,
        client: ReceiverClient,
        session: str,
        stop: threading.Event,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal, self._claims, self._memory, self._client = journal, claims, memory, client
        self._session, self._stop, self._changed = session, stop, changed
        self._thread = threading.Thread(target=self._compare_when_wanted, name="comparison", daemon=True)

    def start(self) -> None:
        """Begin to wait for what the memory asks for."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end after `stop` was set."""
        self._thread.join(timeout_s)

    def _compare_when_wanted(self) -> None:
        while not self._stop.is_set():
            if not self._memory.is_comparison_wanted.wait(0.2):
                continue
            if contained(self._compare, self._failed):
                self._memory.compared()
            else:
                self._stop.wait(_RETRY_S)

    def _failed(self, error: Exception) -> bool:
        expected = isinstance(error, (TransferError, *JOURNAL_ERRORS))
        log.warning("the comparison with the receiver failed (%s); it is repeated", error, exc_info=not expected)
        return False

    def _compare(self) -> bool:
        """Compare all released exposures; return whether all were compared."""
        missing = compared = 0
        unclaimable: list[ReleasedExposure] = []
        for part in self._parts():
            if self._stop.is_set():
                return False
            missing += self._take_up(self._lost_by_claim(part, unclaimable))
            compared += len(part)
        if unclaimable:
            missing += self._take_up(self._lost_by_list(unclaimable))
        log.warning("compared %d released exposures with the receiver: %d are missing there", compared, missing)
        return True

    def _parts(self) -> Iterator[list[ReleasedExposure]]:
        after = 0
        while part := self._journal.released(after, _AT_ONCE):
            yield part
            after = part[-1].number

    def _lost_by_claim(self, exposures: list[ReleasedExposure], undecided: list[ReleasedExposure]) -> Iterator[UUID]:
        """Yield which exposures the receiver does not have; add those to `undecided` that claims do not tell."""
        claims = {exposure: self._claims.claim_of_released(exposure) for exposure in exposures}
        undecided += [exposure for exposure, claim in claims.items() if claim is None]
        asked = {exposure: claim for exposure, claim in claims.items() if claim is not None}
        answers = self._claims.ask_many(list(asked.values())) if asked else ()
        for exposure, answer in zip(asked, answers, strict=True):
            # ELSEWHERE: not committed, but claimed by another agent, or as a copy of the movie that may be gone
            if answer.status in (ClaimStatus.CLAIMED, ClaimStatus.ELSEWHERE):
                yield exposure.exposure_id
            elif answer.status is ClaimStatus.DIGEST_NEEDED:
                undecided.append(exposure)

    def _lost_by_list(self, exposures: list[ReleasedExposure]) -> Iterator[UUID]:
        """Yield which exposures are not listed, or have a file that is not there: no digest of them is known."""
        there = {file.path for file in self._client.files(self._session) if file.on_disk in (None, FileCheck.SAME)}
        pages = self._client.exposure_pages(self._session)
        published = {exposure.record.exposure_id for page in pages for exposure in page}
        for exposure in exposures:
            paths = {output.remote_path for output in self._journal.outputs(exposure.exposure_id, exposure.revision)}
            if exposure.published_id not in published or not paths <= there:
                yield exposure.exposure_id

    def _take_up(self, lost: Iterable[UUID]) -> int:
        count = 0
        for exposure_id in lost:
            taken_up = self._journal.take_up_lost(exposure_id, _LOST)
            if taken_up is not None:
                log.warning("%s: %s; the movie is aligned again", taken_up.movie, _LOST)
                count += 1
        if count:
            self._changed()
        return count
