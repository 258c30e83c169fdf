"""Claims one exposure before it is aligned and before it is sent, and does what the receiver's answer says."""

from __future__ import annotations

import logging
import shutil
import time
from uuid import UUID

from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.sending.claims import Claims
from agents.sending.publish import outputs_folder
from agents.turns import StepEnd
from agents.watch_settings import WatchSettings
from transfer.wire.errors import ExposureConflict, FilesMissing, NameTaken, TransferError
from transfer.wire.exposure_claim import ClaimAnswer, ClaimStatus

log = logging.getLogger(__name__)

CONFLICTS = (NameTaken, ExposureConflict, FilesMissing)
"""Refusals that mean: the receiver knows something that this agent does not, and tells it in answer to a claim."""

_FRESH_S = 30.0
"""A claim that is younger is not repeated before the files are sent."""


class ClaimStep:
    """Claims exposures, and releases those that the receiver has already."""

    def __init__(self, settings: WatchSettings, journal: Journal, claims: Claims) -> None:
        self._settings, self._journal, self._claims = settings, journal, claims
        self._elsewhere: set[UUID] = set()

    def before_alignment(self, exposure: ExposureRow) -> ExposureRow | StepEnd | None:
        """Claim an exposure whose sampled digest is known.

        Returns
        -------
        ExposureRow
            Align it: it is claimed, or it cannot be claimed now.
        StepEnd
            There is nothing to align.
        None
            The receiver needs the digest of the whole movie; claim again with it.
        """
        answer = self._claims.ask_now(exposure)
        if answer is None:
            return exposure
        if answer.status is ClaimStatus.DIGEST_NEEDED and exposure.movie_digest is None:
            return None
        return self._do(exposure, answer)

    def before_sending(self, exposure: ExposureRow, refused: TransferError | None = None) -> ExposureRow | StepEnd:
        """Claim an exposure that is to be sent; return it as it is to be sent, or how its step ends.

        Parameters
        ----------
        refused
            Why the receiver refused what was sent before.

        Raises
        ------
        LinkStopped
        TransferError
            `refused`, if the receiver does not answer claims.
        """
        if exposure.sampled_digest is None:  # aligned by an agent of an older version
            return exposure
        age_s = time.time() - (exposure.claimed_at or 0.0)
        if refused is None and 0 <= age_s < _FRESH_S:
            return exposure
        if isinstance(refused, FilesMissing):
            self._journal.forget_receipts(exposure.exposure_id, exposure.revision)
        outputs = self._journal.outputs(exposure.exposure_id, exposure.revision)
        suffixes = [output.remote_path.removeprefix(exposure.published_stem) for output in outputs]
        answer = self._claims.ask(exposure, suffixes)
        if answer is None or answer.status is ClaimStatus.DIGEST_NEEDED:
            if refused is not None:
                raise refused
            return exposure
        return self._do(exposure, answer, is_name_taken=isinstance(refused, NameTaken))

    def _do(self, exposure: ExposureRow, answer: ClaimAnswer, *, is_name_taken: bool = False) -> ExposureRow | StepEnd:
        if answer.status is not ClaimStatus.ELSEWHERE:
            self._elsewhere.discard(exposure.exposure_id)
        match answer.status:
            case ClaimStatus.CLAIMED:
                return self._journal.adopt(exposure.exposure_id, answer, is_name_taken=is_name_taken)
            case ClaimStatus.COMMITTED:
                reason = (
                    f"the receiver has it: exposure {answer.exposure_id}, revision {answer.revision}, {answer.stem}"
                )
                return self._release(exposure, answer, reason)
            case ClaimStatus.DELETED:
                why = f": {answer.detail}" if answer.detail else ""
                return self._release(exposure, answer, f"it was deleted on the receiver on purpose{why}")
            case _:
                if answer.exposure_id is not None:
                    self._journal.note_elsewhere(exposure.exposure_id, answer.exposure_id)
                if exposure.exposure_id not in self._elsewhere:
                    self._elsewhere.add(exposure.exposure_id)
                    log.info("%s: another agent works on it (%s); it is asked for again", exposure.movie, answer.detail)
                return StepEnd.POSTPONED

    def _release(self, exposure: ExposureRow, answer: ClaimAnswer, reason: str) -> StepEnd:
        log.info("%s: %s; nothing is sent", exposure.movie, reason)
        with self._journal.transaction():
            self._journal.adopt(exposure.exposure_id, answer)
            self._journal.change(exposure.exposure_id, State.RELEASED, reason)
        folder = outputs_folder(self._settings.work, exposure).parent
        if folder.exists():
            shutil.rmtree(folder)
        return StepEnd.DONE
