"""One alignment step with a worker that does as it is told: what the journal and the work folder hold afterwards."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.finding.source_access import DirectAccess
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.sending.publish import outputs_folder
from agents.steps.align_step import MOST_INPUT_CHANGES, AlignStep
from agents.turns import MAX_ATTEMPTS, StepEnd
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, AlignmentJob, FailureKind
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import AUTO
from preprocess.settings import AlignmentSettings
from tests.agents.steps.scripted import Answer, ScriptedReceiver, ScriptedWorker, access_of, claim_step


def fail(kind: FailureKind) -> Answer:
    return lambda _job: AlignmentFailure(kind=kind, reason="it is dark", hint="Light it.")


@pytest.fixture
def settings(tmp_path: Path) -> WatchSettings:
    for name in ("source", "work"):
        (tmp_path / name).mkdir()
    chosen = ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition())
    source, work = tmp_path / "source", tmp_path / "work"
    return WatchSettings(source=source, work=work, session="s", layout=AUTO, chosen=chosen, align_timeout_s=7)


@pytest.fixture
def journal(settings: WatchSettings) -> Iterator[Journal]:
    journal = Journal(settings.work)
    yield journal
    journal.close()


@pytest.fixture
def exposure(settings: WatchSettings, journal: Journal) -> ExposureRow:
    movie = settings.source / "a.mrc"
    movie.write_bytes(b"movie")
    found = journal.find("a.mrc", "a", "a")
    return journal.finish(found.exposure_id, FileIdentity.of(movie.stat()))


@pytest.fixture
def receiver() -> ScriptedReceiver:
    return ScriptedReceiver()


@pytest.fixture
def step(settings: WatchSettings, journal: Journal, receiver: ScriptedReceiver) -> AlignStep:
    claims = claim_step(settings, journal, receiver)
    return AlignStep(settings, journal, claims, Measurements(), lambda: False, access_of(settings))


@pytest.mark.parametrize(
    ("kind", "end", "state"),
    [
        (FailureKind.REFUSED, StepEnd.DONE, State.FAILED),
        (FailureKind.HELD_BACK, StepEnd.DONE, State.HELD),
        (FailureKind.POSTPONED, StepEnd.BACKED_OFF, State.FINISHED),
        (FailureKind.DEVICE_LOST, StepEnd.BACKED_OFF, State.FINISHED),
        (FailureKind.STOPPED, StepEnd.DONE, State.FINISHED),
        (FailureKind.DIED, StepEnd.DONE, State.FINISHED),
        (FailureKind.HUNG, StepEnd.DONE, State.FINISHED),
    ],
)
def test_each_failure_leaves_its_state_and_no_files(
    step: AlignStep,
    journal: Journal,
    exposure: ExposureRow,
    settings: WatchSettings,
    kind: FailureKind,
    end: StepEnd,
    state: State,
) -> None:
    worker = ScriptedWorker(fail(kind))
    if state != State.FINISHED:  # a movie is judged only if it is read the same again
        assert step.run(exposure, worker) is StepEnd.DONE
        assert journal.exposure(exposure.exposure_id).state == State.FINISHED
        worker.jobs.clear()
    assert step.run(exposure, worker) is end
    after = journal.exposure(exposure.exposure_id)
    assert after.state == state
    assert (after.reason, after.hint) == (("it is dark", "Light it.") if state != State.FINISHED else ("", ""))
    assert not outputs_folder(settings.work, exposure).parent.exists()
    assert [(job.movie, job.timeout_s) for job in worker.jobs] == [(str(settings.source / "a.mrc"), 7)]


def test_a_worker_that_dies_each_time_fails_the_movie_in_the_end(
    step: AlignStep, journal: Journal, exposure: ExposureRow
) -> None:
    worker = ScriptedWorker(fail(FailureKind.DIED))
    while (now := journal.exposure(exposure.exposure_id)).state == State.FINISHED:
        step.run(now, worker)
    assert len(worker.jobs) == MAX_ATTEMPTS
    assert now.state == State.FAILED
    assert now.reason == f"it is dark, {MAX_ATTEMPTS} times"


def test_a_movie_that_changed_before_is_not_given_to_a_worker(
    step: AlignStep, journal: Journal, exposure: ExposureRow, settings: WatchSettings
) -> None:
    (settings.source / "a.mrc").write_bytes(b"another movie")
    worker = ScriptedWorker(fail(FailureKind.REFUSED))
    assert step.run(exposure, worker) is StepEnd.DONE
    assert worker.jobs == []
    assert journal.exposure(exposure.exposure_id).state == State.FOUND


@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_a_movie_that_changes_meanwhile_is_not_judged_by_the_failure(
    step: AlignStep, journal: Journal, exposure: ExposureRow, settings: WatchSettings, change: str
) -> None:
    movie = settings.source / "a.mrc"

    def answer(_job: AlignmentJob) -> AlignmentFailure:
        if change == "deleted":
            movie.unlink()
        else:
            movie.write_bytes(b"another movie")
        return AlignmentFailure(kind=FailureKind.REFUSED, reason="cut off")

    assert step.run(exposure, ScriptedWorker(answer)) is StepEnd.DONE
    after = journal.exposure(exposure.exposure_id)
    assert (after.state, after.reason) == (State.FOUND, "the movie changed after it was finished")
    assert not outputs_folder(settings.work, exposure).parent.exists()


def test_a_share_that_cannot_be_reached_postpones(
    step: AlignStep, journal: Journal, exposure: ExposureRow, settings: WatchSettings
) -> None:
    movie = settings.source / "a.mrc"
    movie.unlink()
    movie.symlink_to(movie)  # stat fails with ELOOP, not with "no such file"
    worker = ScriptedWorker(fail(FailureKind.REFUSED))
    assert step.run(exposure, worker) is StepEnd.BACKED_OFF
    assert worker.jobs == []
    assert journal.exposure(exposure.exposure_id).state == State.FINISHED


def test_a_movie_that_is_read_otherwise_each_time_is_judged_in_the_end(
    step: AlignStep, journal: Journal, exposure: ExposureRow
) -> None:
    reasons = iter(("half", "a quarter", "an eighth"))
    worker = ScriptedWorker(lambda _job: AlignmentFailure(kind=FailureKind.HELD_BACK, reason=next(reasons)))
    for state in (State.FINISHED, State.FINISHED, State.HELD):
        assert step.run(exposure, worker) is StepEnd.DONE
        assert journal.exposure(exposure.exposure_id).state == state


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.HELD_BACK, FailureKind.DIED])
def test_a_failure_while_the_share_withholds_bytes_is_no_judgement(
    step: AlignStep, journal: Journal, exposure: ExposureRow, monkeypatch: pytest.MonkeyPatch, kind: FailureKind
) -> None:
    def cut(_access: DirectAccess, _file: Path) -> None:
        raise OSError(errno.EIO, "the share returns fewer bytes than the file has")

    monkeypatch.setattr(DirectAccess, "check_readable", cut)
    for _ in range(5):
        assert step.run(exposure, ScriptedWorker(fail(kind))) is StepEnd.BACKED_OFF
    assert journal.exposure(exposure.exposure_id).state == State.FINISHED


def test_what_an_earlier_attempt_left_is_removed_first(
    step: AlignStep, exposure: ExposureRow, settings: WatchSettings
) -> None:
    left = outputs_folder(settings.work, exposure)
    left.mkdir(parents=True)
    (left / "half.mrc").touch()
    worker = ScriptedWorker(fail(FailureKind.POSTPONED))
    step.run(exposure, worker)  # the worker asserts that its folder is empty
    assert len(worker.jobs) == 1


@pytest.mark.parametrize("changes", ["once", "each time"])
def test_an_input_that_comes_while_the_movie_is_aligned_begins_it_again(
    step: AlignStep, journal: Journal, exposure: ExposureRow, settings: WatchSettings, changes: str
) -> None:
    mdoc, attempts = settings.source / "a.mrc.mdoc", []

    def answer(job: AlignmentJob) -> AlignmentFailure:
        attempts.append(job)
        if len(attempts) == 1 or changes == "each time":
            mdoc.write_text("PixelSpacing = 1\n" * len(attempts))
        return AlignmentFailure(kind=FailureKind.HELD_BACK, reason="no pixel size")

    while (now := journal.exposure(exposure.exposure_id)).state != State.HELD:
        step.run(now, ScriptedWorker(answer))
        if (now := journal.exposure(exposure.exposure_id)).state == State.FOUND:
            came = "came" if len(attempts) == 1 else "changed"
            assert now.reason == f"its metadata file {came} while it was aligned"
            journal.finish(exposure.exposure_id, FileIdentity.of((settings.source / "a.mrc").stat()))
    judged_twice = 2  # a movie is judged only if it is read the same again
    assert len(attempts) == (1 + judged_twice if changes == "once" else judged_twice * (MOST_INPUT_CHANGES + 1))
    (used,) = journal.inputs.of(exposure.exposure_id)
    assert (used.kind, used.path) == ("sidecar", "a.mrc.mdoc")
    assert used.digest is not None
