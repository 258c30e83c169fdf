"""Processes many exposures again: plans it page by page, and enters it in the journal batch by batch.

It can be ended at any time and begun again with the same settings: what was entered is queued, or done with these
settings, and is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.retryable import RetryableExposure
from agents.journal.states import SET_ASIDE, State
from agents.retries import RetryRefused
from agents.share_errors import error_of_share
from agents.workers.jobs import same_result, with_changes
from preprocess.escaped_names import unescaped
from transfer.wire.exposure_claim import ClaimReason

BATCH = 200
WHY = "tried again"


class Planned(NamedTuple):
    """One exposure that would be processed again. `action` is `align` or `send`; the revision is that of the result."""

    exposure: RetryableExposure
    action: str
    revision: int


@dataclass(slots=True)
class BulkPlan:
    """What would be done, and how many of the chosen exposures are passed over.

    Attributes
    ----------
    queued
        They wait already for being processed with these settings.
    busy
        They are being processed with other settings.
    done
        They are released, and these settings would give the same result.
    gone
        Movies that are no longer in the source.
    """

    chosen: list[Planned] = field(default_factory=list)
    queued: int = 0
    busy: int = 0
    done: int = 0
    gone: list[str] = field(default_factory=list)


class BulkRetry:
    """Plans and does the retry of all exposures that fit.

    Parameters
    ----------
    fits
        Says whether an exposure is chosen.
    changed
        What to change in the agent's settings for these exposures, as nested JSON.
    look
        Looks at a movie; raises OSError if that is not possible.
    """

    def __init__(
        self,
        journal: Journal,
        work: Path,
        fits: Callable[[RetryableExposure], bool],
        changed: dict[str, Any],
        look: Callable[[Path], object] = Path.stat,
    ) -> None:
        self._journal, self._work, self._fits, self._changed, self._look = journal, work, fits, changed, look
        self._base = json.loads(journal.about("settings") or "{}")
        self._source = Path(unescaped(journal.about("source") or ""))
        self._merged = lru_cache(maxsize=256)(self._merge)
        self._is_same = lru_cache(maxsize=256)(self._compare)

    def plan(self) -> BulkPlan:
        """Return what would be done; this changes nothing.

        Raises
        ------
        RetryRefused
            The source cannot be read.
        """
        self._look_at_source()
        plan = BulkPlan()
        for exposure in self._journal.retryable.all():
            if self._fits(exposure):
                self._take(exposure, plan)
        return plan

    def carry_out(self, plan: BulkPlan) -> Iterator[list[Planned]]:
        """Enter in the journal what is planned; yield each batch when it is durable. A running agent notices it."""
        for start in range(0, len(plan.chosen), BATCH):
            batch = {each.exposure.number: each for each in plan.chosen[start : start + BATCH]}
            done = []
            with self._journal.transaction():
                for now in self._journal.retryable.now(list(batch)):
                    planned = batch[now.number]
                    if (now.state, now.revision) == (planned.exposure.state, planned.exposure.revision):
                        self._do(now, planned.action)
                        done.append(planned)
            yield done

    def _do(self, now: RetryableExposure, action: str) -> None:
        if action == "send":
            self._journal.change(now.exposure_id, State.ALIGNED, WHY)
        else:
            changes = json.loads(self._merged(now.changes))
            self._journal.begin_again(now.exposure_id, WHY, changes, reason=ClaimReason.RETRY)

    def _take(self, exposure: RetryableExposure, plan: BulkPlan) -> None:
        if exposure.state in SET_ASIDE:
            action = "send" if not self._changed and self._has_outputs(exposure) else "align"
            plan.chosen.append(Planned(exposure, action, exposure.revision))
        elif exposure.state != State.RELEASED:
            if self._merged(exposure.changes) == self._merged(exposure.changes, is_asked=False):
                plan.queued += 1
            else:
                plan.busy += 1
        elif self._is_done(exposure):
            plan.done += 1
        elif self._is_gone(exposure.movie):
            plan.gone.append(exposure.movie)
        else:
            plan.chosen.append(Planned(exposure, "align", exposure.revision + 1))

    def _has_outputs(self, exposure: RetryableExposure) -> bool:
        outputs = self._journal.outputs(exposure.exposure_id, exposure.revision)
        return bool(outputs) and all((self._work / output.local_path).is_file() for output in outputs)

    def _is_done(self, exposure: RetryableExposure) -> bool:
        """Return whether it has the result that it would get; one that the receiver had already is done as it is."""
        if exposure.settings is None:
            return not self._changed
        return self._is_same(exposure.changes, exposure.settings)

    def _merge(self, changes: str, *, is_asked: bool = True) -> str:
        before = json.loads(changes)
        return json.dumps(with_changes(before, self._changed) if is_asked else before, sort_keys=True)

    def _compare(self, changes: str, settings: str) -> bool:
        return same_result(with_changes(self._base, json.loads(self._merged(changes))), json.loads(settings))

    def _look_at_source(self) -> None:
        try:
            self._look(self._source)
        except OSError as error:
            text = f"{self._source} cannot be read: {error.strerror or error}"
            raise RetryRefused(text, hint="Try again when it can be read.") from error

    def _is_gone(self, movie: str) -> bool:
        try:
            self._look(movie_path(self._source, movie))
        except OSError as error:
            if (of_share := error_of_share(error)) is not None:
                text = f"{self._source} cannot be read: {of_share.strerror}"
                raise RetryRefused(text, hint="Try again when it can be read.") from error
            return True
        return False
