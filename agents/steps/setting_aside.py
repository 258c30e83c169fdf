"""What a step does with an exposure that it cannot do."""

from __future__ import annotations

import logging

from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.turns import StepEnd

log = logging.getLogger(__name__)


def set_aside(
    journal: Journal, exposure: ExposureRow, reason: str, hint: str, *, state: State = State.FAILED
) -> StepEnd:
    """Take an exposure to FAILED or HELD, with the reason and what to do.

    A committed exposure stays committed, because it has arrived: only its files are still here. It is postponed.
    """
    log.warning("%s: %s", exposure.movie, reason)
    if journal.exposure(exposure.exposure_id).state == State.COMMITTED:
        return StepEnd.POSTPONED
    journal.change(exposure.exposure_id, state, reason, hint)
    return StepEnd.DONE
