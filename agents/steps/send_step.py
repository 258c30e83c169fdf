"""Sends the files of one exposure, publishes its record, and removes what is no longer needed here."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable

from agents.journal.journal import Journal
from agents.journal.opening import NAME
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.own_faults import own_fault
from agents.sending.publish import outputs_folder, publish_record, send_outputs
from agents.sending.receiver_link import LinkStopped, ReceiverLink
from agents.steps.claim_step import CONFLICTS, ClaimStep
from agents.steps.setting_aside import set_aside
from agents.turns import StepEnd
from agents.watch_settings import WatchSettings
from transfer.upload.sender import Sender
from transfer.wire.errors import NotFound, SourceUnreadable, TransferError, TransferStopped

MAX_CLAIMS_A_STEP = 5
"""An exposure that is refused after so many claims has failed."""


class SendStep:
    """Takes exposures from ALIGNED, SENDING or COMMITTED to RELEASED.

    Parameters
    ----------
    should_stop
        Whether the agent is stopping.
    open_session
        Opens the session on the receiver, and stops the agent if it is another one than before.
    """

    def __init__(
        self,
        settings: WatchSettings,
        journal: Journal,
        link: ReceiverLink,
        claim_step: ClaimStep,
        measurements: Measurements,
        should_stop: Callable[[], bool],
        open_session: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings, self._journal, self._link, self._should_stop = settings, journal, link, should_stop
        self._claim_step, self._measurements, self._open_session = claim_step, measurements, open_session

    def run(self, exposure: ExposureRow, sender: Sender) -> StepEnd:
        """Send one exposure, however long the receiver cannot be reached, and release it.

        The outputs are removed only after the journal says COMMITTED.

        Raises
        ------
        OSError
            The outputs cannot be read, for a reason that says nothing about the movie.
        """
        try:
            if exposure.state != State.COMMITTED and (end := self._claim_and_send(exposure, sender)) is not None:
                return end
        except (LinkStopped, TransferStopped):
            return StepEnd.DONE
        except TransferError as error:
            self._raise_own_fault(exposure, error)
            return set_aside(self._journal, exposure, f"{type(error).__name__}: {error}", error.hint)
        self._release(exposure)
        return StepEnd.DONE

    def _raise_own_fault(self, exposure: ExposureRow, error: TransferError) -> None:
        """Raise an error of the own disk or of open files, which says nothing about the movie.

        A single output that is not there is none: waiting does not bring it back.

        Raises
        ------
        OSError
        """
        cause, work = error.__cause__, self._settings.work
        if not isinstance(error, SourceUnreadable) or not isinstance(cause, OSError):
            return
        if cause.errno in (errno.ENOENT, errno.ENOTDIR) and (work / NAME).exists():
            return
        of_output = OSError(cause.errno, cause.strerror, str(outputs_folder(work, exposure)))
        if own_fault(of_output, work) is not None:
            raise of_output from error

    def _claim_and_send(self, exposure: ExposureRow, sender: Sender) -> StepEnd | None:
        """Claim an exposure and send it; return how the step ends if it is not to be sent, None once it is committed.

        A refusal that a claim can explain leads to another claim: the receiver then says which names to use, or that
        it has the exposure already.
        """
        refused: TransferError | None = None
        for _ in range(MAX_CLAIMS_A_STEP):
            claimed = self._claim_step.before_sending(exposure, refused)
            if isinstance(claimed, StepEnd):
                return claimed
            exposure = claimed
            if exposure.state == State.ALIGNED:
                exposure = self._journal.change(exposure.exposure_id, State.SENDING)
            try:
                self._send(exposure, sender)
            except NotFound as error:  # such as a receiver that was restored from before the session
                if isinstance(refused, NotFound):
                    raise
                self._open_session()
                if self._should_stop():
                    raise LinkStopped from error
                refused = error
            except CONFLICTS as error:
                if exposure.sampled_digest is None:
                    raise
                refused = error
            else:
                return None
        raise refused or AssertionError("the loop ran at least once")

    def _send(self, exposure: ExposureRow, sender: Sender) -> None:
        settings, began_s = self._settings, time.monotonic()
        self._link.persist(
            lambda: send_outputs(
                self._journal,
                settings.work,
                settings.session,
                exposure,
                sender,
                self._should_stop,
                background=settings.background,
            )
        )
        self._link.persist(lambda: publish_record(sender.client, settings.session, exposure))
        self._journal.change(exposure.exposure_id, State.COMMITTED)
        self._measurements.add_stage("send", time.monotonic() - began_s)
        self._measurements.count_movie()

    def _release(self, exposure: ExposureRow) -> None:
        outputs = outputs_folder(self._settings.work, exposure).parent
        if not self._settings.keep_outputs and outputs.exists():
            shutil.rmtree(outputs)
        self._journal.change(exposure.exposure_id, State.RELEASED)
