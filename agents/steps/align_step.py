"""Aligns the movie of one exposure: gives a worker the job, and makes the result durable."""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from agents.finding.movie_inputs import FoundInput, MovieInputs, NamedInputs, with_found_inputs
from agents.finding.source_access import SourceAccess
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import InputKind, UsedInput
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.own_faults import WorkFolderFault
from agents.sending.publish import exposure_record, outputs_folder, seal_outputs
from agents.share_errors import error_of_share
from agents.steps.claim_step import ClaimStep
from agents.steps.device_faults import DeviceFaults
from agents.steps.said_references import SaidReferences
from agents.steps.session_orientations import LearnedOrientations
from agents.steps.setting_aside import set_aside
from agents.steps.used_inputs import named_inputs, used_inputs, what_differs
from agents.turns import MAX_ATTEMPTS, StepEnd, after_failure
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, AlignmentJob, AlignmentWorker, DigestJob, FailureKind
from agents.workers.jobs import from_json, orientations_to_json, to_json, with_changes
from preprocess.results import ProcessedMovie

log = logging.getLogger(__name__)

CUDA = "cuda"
"""What the names of GPUs begin with."""
MOST_INPUT_CHANGES = 3
"""An exposure whose inputs changed so often while it was aligned is taken as it is."""


class AlignStep:
    """Takes exposures from FINISHED to ALIGNED.

    Parameters
    ----------
    claim_step
        Claims each exposure first.
    should_stop
        Whether the agent is stopping.
    access
        Asks the share.
    """

    def __init__(
        self,
        settings: WatchSettings,
        journal: Journal,
        claim_step: ClaimStep,
        measurements: Measurements,
        should_stop: Callable[[], bool],
        access: SourceAccess,
    ) -> None:
        self._settings, self._journal, self._should_stop, self._access = settings, journal, should_stop, access
        self._said: dict[UUID, str] = {}
        self._input_changes: Counter[UUID] = Counter()
        self._found_references = SaidReferences()
        self._judgements: dict[UUID, list[str]] = {}
        self._claim_step = claim_step
        self._measurements = measurements
        self._orientations = LearnedOrientations(journal)
        self._device_faults = DeviceFaults()

    def run(self, exposure: ExposureRow, worker: AlignmentWorker) -> StepEnd:
        """Claim one movie and align it, unless the receiver has it already.

        An attempt that fails leaves no files. The movie must be unchanged before and after the alignment; otherwise
        the exposure goes back to FOUND.

        Raises
        ------
        WorkFolderFault
            The worker could not write to the work folder.
        """
        movie = movie_path(self._settings.source, exposure.movie)
        if (end := self._end_if_changed(exposure, movie)) is not None:
            return end
        claimed = self._claimed(exposure, movie, worker)
        if isinstance(claimed, StepEnd):
            return claimed
        return self._align(claimed, movie, worker)

    def _align(self, exposure: ExposureRow, movie: Path, worker: AlignmentWorker) -> StepEnd:
        choices = with_changes(to_json(self._settings.chosen), exposure.changes)
        named, source = named_inputs(self._settings.chosen, exposure.changes), self._settings.source
        try:
            inputs = self._access.inputs(movie, named)
            used = used_inputs(self._access, source, movie, inputs)
        except OSError as error:
            return self._wait(exposure, f"what belongs to it cannot be read now: {error.strerror or error}")
        self._found_references.say(exposure.movie, inputs)
        outputs = outputs_folder(self._settings.work, exposure)
        with suppress(FileNotFoundError):
            shutil.rmtree(outputs)  # what an agent or a worker that died left incomplete
        outputs.mkdir(parents=True)
        began_s = time.monotonic()
        answer = worker.align(self._job(exposure, movie, outputs, choices, inputs), self._should_stop)
        if isinstance(answer, AlignmentFailure) and answer.kind is FailureKind.STOPPED:
            _remove(outputs)
            return StepEnd.DONE
        end = self._end_if_replaced(exposure, movie, worker) or self._end_if_input_came(exposure, movie, named, inputs)
        if isinstance(answer, AlignmentFailure) or end is not None:
            _remove(outputs)
        if end is not None:
            return end
        self._journal.inputs.note(exposure.exposure_id, _with_gain_digest(used, answer))
        if isinstance(answer, AlignmentFailure):
            return self._failed(exposure, self._judged(exposure, answer, choices, worker), inputs)
        if answer.device.startswith(CUDA):
            self._device_faults.aligned(exposure.exposure_id, worker)
        self._seal(exposure, choices, answer, used)
        self._orientations.learn(exposure, answer)
        self._said.pop(exposure.exposure_id, None)
        self._judgements.pop(exposure.exposure_id, None)
        self._measurements.add_stage("align", time.monotonic() - began_s)
        return StepEnd.DONE

    def _claimed(self, exposure: ExposureRow, movie: Path, worker: AlignmentWorker) -> ExposureRow | StepEnd:
        """Return the exposure as it is to be aligned, or how the step ends without an alignment."""
        if exposure.sampled_digest is None:
            known = self._with_digests(exposure, movie, worker, is_whole=False)
            if isinstance(known, StepEnd):
                return known
            exposure = known
        claimed = self._claim_step.before_alignment(exposure)
        if claimed is None:
            known = self._with_digests(exposure, movie, worker, is_whole=True)
            claimed = known if isinstance(known, StepEnd) else self._claim_step.before_alignment(known)
        return StepEnd.POSTPONED if claimed is None else claimed

    def _with_digests(
        self, exposure: ExposureRow, movie: Path, worker: AlignmentWorker, *, is_whole: bool
    ) -> ExposureRow | StepEnd:
        """Have digests of the movie computed, and note them; return how the step ends if that is not possible."""
        identity = self._identity(exposure, movie)
        if isinstance(identity, StepEnd):
            return identity
        job = DigestJob(movie=str(movie), is_whole=is_whole, timeout_s=self._settings.align_timeout_s)
        digests = worker.digest(job, self._should_stop)
        if isinstance(digests, AlignmentFailure) and digests.kind is FailureKind.STOPPED:
            return StepEnd.DONE
        after = self._identity(exposure, movie)
        if isinstance(after, StepEnd):
            return after
        if isinstance(digests, AlignmentFailure):
            return self._failed(exposure, digests)
        if not identity.is_untouched(after):
            return self._begin_again(exposure)
        self._journal.note_movie(
            exposure.exposure_id,
            after,
            sampled_digest=digests.sampled_digest,
            movie_digest=digests.movie_digest,
        )
        return self._journal.exposure(exposure.exposure_id)

    def _job(
        self, exposure: ExposureRow, movie: Path, outputs: Path, choices: dict[str, Any], inputs: MovieInputs
    ) -> AlignmentJob:
        return AlignmentJob(
            movie=str(movie),
            outputs=str(outputs),
            settings=to_json(with_found_inputs(from_json(choices), inputs)),
            timeout_s=self._settings.align_timeout_s,
            movie_digest=exposure.movie_digest,
            orientations=orientations_to_json(self._orientations.known()),
        )

    def _end_if_changed(self, exposure: ExposureRow, movie: Path) -> StepEnd | None:
        """Return how the step ends because the movie is not the finished one any more; None if it still is."""
        now = self._identity(exposure, movie)
        return now if isinstance(now, StepEnd) else None

    def _identity(self, exposure: ExposureRow, movie: Path) -> FileIdentity | StepEnd:
        """Return what identifies the movie now, or how the step ends because it is not the finished one any more."""
        try:
            now = self._access.identity(movie)
        except FileNotFoundError:
            return self._begin_again(exposure)
        except OSError as error:
            return self._wait(exposure, f"it cannot be read now: {error.strerror or error}")
        if exposure.identity is not None and now.same_content(exposure.identity):
            return now
        return self._begin_again(exposure)

    def _begin_again(self, exposure: ExposureRow) -> StepEnd:
        self._journal.change(exposure.exposure_id, State.FOUND, "the movie changed after it was finished")
        return StepEnd.DONE

    def _end_if_replaced(self, exposure: ExposureRow, movie: Path, worker: AlignmentWorker) -> StepEnd | None:
        """Return how the step ends because the movie changed meanwhile, whatever its size and time stamp say."""
        now = self._identity(exposure, movie)
        if isinstance(now, StepEnd):
            return now
        if exposure.identity is not None and now.is_untouched(exposure.identity):
            return None
        known = self._with_digests(exposure, movie, worker, is_whole=False)
        if isinstance(known, StepEnd):
            return known
        return None if known.sampled_digest == exposure.sampled_digest else self._begin_again(exposure)

    def _end_if_input_came(
        self, exposure: ExposureRow, movie: Path, named: NamedInputs, before: list[FoundInput]
    ) -> StepEnd | None:
        """Return how the step ends because an input came or changed meanwhile; at some time it is taken as it is."""
        try:
            differs = what_differs(before, self._access.inputs(movie, named))
        except OSError as error:
            return self._wait(exposure, f"what belongs to it cannot be read now: {error.strerror or error}")
        if not differs or self._input_changes[exposure.exposure_id] >= MOST_INPUT_CHANGES:
            self._input_changes.pop(exposure.exposure_id, None)
            return None
        self._input_changes[exposure.exposure_id] += 1
        log.warning("%s: %s; it is aligned again", exposure.movie, differs)
        self._journal.change(exposure.exposure_id, State.FOUND, differs)
        return StepEnd.DONE

    def _failed(self, exposure: ExposureRow, failure: AlignmentFailure, inputs: Sequence[FoundInput] = ()) -> StepEnd:
        if failure.kind is FailureKind.WORK_FOLDER:
            raise WorkFolderFault(failure.reason)
        counts = failure.kind in (FailureKind.CRASHED, FailureKind.DIED, FailureKind.HUNG)
        judges = failure.kind in (FailureKind.REFUSED, FailureKind.HELD_BACK)
        if (counts or judges) and (trouble := self._trouble_of_share(exposure, inputs)):
            return self._wait(exposure, f"{failure.reason}, and the share does not let it be read: {trouble}")
        if judges and not self._is_confirmed(exposure, failure.reason):
            return StepEnd.DONE
        attempts = self._journal.count_attempt(exposure.exposure_id) if counts else exposure.attempts
        after = after_failure(failure, attempts)
        if after.state is not None:
            self._orientations.hold(exposure, failure)
            return set_aside(self._journal, exposure, after.reason, after.hint, state=after.state)
        if after.end is StepEnd.BACKED_OFF:
            return self._wait(exposure, after.reason)
        log.warning("%s: %s; it is tried again", exposure.movie, after.reason)
        return after.end

    def _judged(
        self, exposure: ExposureRow, failure: AlignmentFailure, choices: dict[str, Any], worker: AlignmentWorker
    ) -> AlignmentFailure:
        """Return a failure with the named GPU as the movie's or the GPU's own; others stay as they are."""
        device = choices["settings"]["device"]
        of_device = failure.kind in (FailureKind.DEVICE_LOST, FailureKind.DIED) and device.startswith(CUDA)
        if not of_device:
            return failure
        try_device = partial(worker.try_device, device, self._should_stop)
        return self._device_faults.judged(exposure, failure, worker, try_device)

    def _is_confirmed(self, exposure: ExposureRow, reason: str) -> bool:
        """Return whether a movie was judged the same way before: a share that drops out may have shown half of it."""
        earlier = self._judgements.setdefault(exposure.exposure_id, [])
        if reason in earlier or len(earlier) >= MAX_ATTEMPTS - 1:
            del self._judgements[exposure.exposure_id]
            return True
        earlier.append(reason)
        return False

    def _trouble_of_share(self, exposure: ExposureRow, inputs: Sequence[FoundInput]) -> str:
        """Return why the share does not let a movie's files be read; empty if it does: then a failure is their own."""
        movie = movie_path(self._settings.source, exposure.movie)
        try:
            self._access.check_readable(movie)
            for each in inputs:
                self._check_input(each.path)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _check_input(self, file: Path) -> None:
        """Make sure that a file beside the movie can be read, or is not there."""
        try:
            self._access.check_readable(file)
        except OSError as error:
            if error_of_share(error) is not None:
                raise

    def _wait(self, exposure: ExposureRow, why: str) -> StepEnd:
        """Let an exposure wait for the share or the device; the reason is logged when it is new."""
        if self._said.get(exposure.exposure_id) != why:
            self._said[exposure.exposure_id] = why
            log.warning("%s: %s; it waits and is tried again", exposure.movie, why)
        return StepEnd.BACKED_OFF

    def _seal(
        self, exposure: ExposureRow, choices: dict[str, Any], processed: ProcessedMovie, used: list[UsedInput]
    ) -> None:
        self._found_references.say_optics(exposure.movie, processed)
        outputs = seal_outputs(self._journal, self._settings.work, exposure, processed)
        record = exposure_record(exposure, processed, outputs, used=used, source_name=self._settings.source_name)
        self._journal.seal(exposure.exposure_id, settings=choices, outputs=outputs, record=record)
        for warning in record.warnings:
            log.warning("%s: aligned with a warning: %s", exposure.movie, warning.text)


def _with_gain_digest(used: list[UsedInput], answer: ProcessedMovie | AlignmentFailure) -> list[UsedInput]:
    """Return the inputs with the digest of the gain reference that was used, if it is known."""
    digest = None if isinstance(answer, AlignmentFailure) else answer.gain_digest
    return [replace(each, digest=digest) if each.kind is InputKind.GAIN else each for each in used]


def _remove(outputs: Path) -> None:
    """Remove a revision's folder, and the exposure's folder if that was its only one."""
    shutil.rmtree(outputs, ignore_errors=True)
    if not any(outputs.parent.iterdir()):
        outputs.parent.rmdir()
