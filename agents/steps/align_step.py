"""Aligns the movie of one exposure: gives a worker the job, and makes the result durable."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.sending.publish import exposure_record, outputs_folder, seal_outputs
from agents.steps.setting_aside import set_aside
from agents.turns import StepEnd, after_failure
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, AlignmentJob, AlignmentWorker, FailureKind
from agents.workers.jobs import from_json, to_json, with_changes
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.results import ProcessedMovie

log = logging.getLogger(__name__)


class AlignStep:
    """Takes exposures from FINISHED to ALIGNED.

    Parameters
    ----------
    should_stop
        Whether the agent is stopping.
    """

    def __init__(
        self, settings: WatchSettings, journal: Journal, measurements: Measurements, should_stop: Callable[[], bool]
    ) -> None:
        self._settings, self._journal, self._should_stop = settings, journal, should_stop
        self._measurements = measurements

    def run(self, exposure: ExposureRow, worker: AlignmentWorker) -> StepEnd:
        """Align one movie.

        An attempt that fails leaves no files. The movie must be unchanged before and after the alignment; otherwise
        the exposure goes back to FOUND.
        """
        movie, outputs = self._settings.source / exposure.movie, outputs_folder(self._settings.work, exposure)
        if (end := self._end_if_changed(exposure, movie)) is not None:
            return end
        shutil.rmtree(outputs, ignore_errors=True)  # what an agent or a worker that died left incomplete
        outputs.mkdir(parents=True)
        choices = with_changes(to_json(self._settings.chosen), exposure.changes)
        began_s = time.monotonic()
        answer = worker.align(self._job(movie, outputs, choices), self._should_stop)
        if isinstance(answer, AlignmentFailure) and answer.kind is FailureKind.STOPPED:
            _remove(outputs)
            return StepEnd.DONE
        end = self._end_if_changed(exposure, movie)
        if isinstance(answer, AlignmentFailure) or end is not None:
            _remove(outputs)
        if end is not None:
            return end
        if isinstance(answer, AlignmentFailure):
            return self._failed(exposure, answer)
        self._seal(exposure, choices, answer)
        self._measurements.add_stage("align", time.monotonic() - began_s)
        return StepEnd.DONE

    def _job(self, movie: Path, outputs: Path, choices: dict[str, Any]) -> AlignmentJob:
        return AlignmentJob(
            movie=str(movie),
            outputs=str(outputs),
            settings=to_json(self._with_gain(from_json(choices), movie)),
            timeout_s=self._settings.align_timeout_s,
        )

    def _with_gain(self, chosen: ChosenAlignment, movie: Path) -> ChosenAlignment:
        """Return the choices with the gain reference that the layout finds, if the user named none."""
        if chosen.settings.gain.path is not None:
            return chosen
        gain = replace(chosen.settings.gain, path=self._settings.layout.gain(movie, self._settings.source))
        return replace(chosen, settings=replace(chosen.settings, gain=gain))

    def _end_if_changed(self, exposure: ExposureRow, movie: Path) -> StepEnd | None:
        """Return how the step ends because the movie is not the finished one any more; None if it still is."""
        try:
            now = FileIdentity.of(movie.stat())
        except FileNotFoundError:
            now = None
        except OSError as error:  # the share cannot be reached; the scan reports that
            log.warning("%s cannot be read now: %s; it is tried again", exposure.movie, error.strerror)
            return StepEnd.POSTPONED
        if now is not None and exposure.identity is not None and now.same_content(exposure.identity):
            return None
        self._journal.change(exposure.exposure_id, State.FOUND, "the movie changed after it was finished")
        return StepEnd.DONE

    def _failed(self, exposure: ExposureRow, failure: AlignmentFailure) -> StepEnd:
        counts = failure.kind in (FailureKind.DIED, FailureKind.HUNG)
        attempts = self._journal.count_attempt(exposure.exposure_id) if counts else exposure.attempts
        after = after_failure(failure, attempts)
        if after.state is not None:
            return set_aside(self._journal, exposure, after.reason, after.hint, state=after.state)
        log.warning("%s: %s; it is tried again", exposure.movie, after.reason)
        return after.end

    def _seal(self, exposure: ExposureRow, choices: dict[str, Any], processed: ProcessedMovie) -> None:
        outputs = seal_outputs(self._journal, self._settings.work, exposure, processed)
        self._journal.seal(
            exposure.exposure_id,
            settings=choices,
            outputs=outputs,
            record=exposure_record(exposure, processed, outputs),
        )


def _remove(outputs: Path) -> None:
    """Remove a revision's folder, and the exposure's folder if that was its only one."""
    shutil.rmtree(outputs, ignore_errors=True)
    if not any(outputs.parent.iterdir()):
        outputs.parent.rmdir()
