"""What a comparison makes of a movie that looks touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.steps.compare_step import CompareStep
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, DigestJob, FailureKind
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import AUTO
from preprocess.settings import AlignmentSettings
from tests.agents.steps.scripted import ScriptedWorker, access_of
from transfer.wire.exposure_claim import ClaimReason


def refuse(job: object) -> AlignmentFailure:
    return AlignmentFailure(kind=FailureKind.REFUSED, reason="not asked for")


@pytest.fixture
def settings(tmp_path: Path) -> WatchSettings:
    for name in ("source", "work"):
        (tmp_path / name).mkdir()
    chosen = ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition())
    return WatchSettings(
        source=tmp_path / "source", work=tmp_path / "work", session="s", layout=AUTO, chosen=chosen, align_timeout_s=7
    )


@pytest.fixture
def journal(settings: WatchSettings) -> Iterator[Journal]:
    journal = Journal(settings.work)
    yield journal
    journal.close()


@pytest.fixture
def worker() -> ScriptedWorker:
    return ScriptedWorker(refuse)


@pytest.fixture
def movie(settings: WatchSettings) -> Path:
    path = settings.source / "a.mrc"
    path.write_bytes(b"movie")
    return path


@pytest.fixture
def exposure(journal: Journal, worker: ScriptedWorker, movie: Path) -> ExposureRow:
    """Return a released exposure whose movie's digest is known."""
    found = journal.find("a.mrc", "a", "a")
    identity = FileIdentity.of(movie.stat())
    journal.finish(found.exposure_id, identity)
    digests = worker.digest(DigestJob(movie=str(movie), is_whole=False, timeout_s=7), lambda: False)
    assert not isinstance(digests, AlignmentFailure)
    journal.note_movie(found.exposure_id, identity, sampled_digest=digests.sampled_digest)
    return journal.change(found.exposure_id, State.RELEASED)


def compare(settings: WatchSettings, journal: Journal, exposure: ExposureRow, worker: ScriptedWorker) -> bool:
    return CompareStep(settings, journal, lambda: False, access_of(settings)).run(exposure.exposure_id, worker)


def test_a_touched_movie_keeps_its_exposure_and_the_new_time_is_noted(
    settings: WatchSettings, journal: Journal, exposure: ExposureRow, worker: ScriptedWorker, movie: Path
) -> None:
    os.utime(movie, ns=(5, 7))
    assert compare(settings, journal, exposure, worker)
    after = journal.exposure(exposure.exposure_id)
    assert (after.state, after.revision) == (State.RELEASED, 1)
    assert after.identity == FileIdentity.of(movie.stat())


def test_another_content_with_the_same_size_and_time_is_the_next_revision(
    settings: WatchSettings, journal: Journal, exposure: ExposureRow, worker: ScriptedWorker, movie: Path
) -> None:
    times = movie.stat()
    movie.write_bytes(b"other")
    os.utime(movie, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert compare(settings, journal, exposure, worker)
    after = journal.exposure(exposure.exposure_id)
    assert (after.state, after.revision, after.claim_reason) == (State.FOUND, 2, ClaimReason.CHANGED)
    assert "replaced" in after.reason


def test_an_old_journal_gets_the_digest_of_what_is_there(
    settings: WatchSettings, journal: Journal, exposure: ExposureRow, worker: ScriptedWorker, movie: Path
) -> None:
    journal._db.execute("UPDATE exposures SET sampled_digest = NULL, ctime_ns = NULL")
    os.utime(movie, ns=(5, 7))
    assert not journal.has_digest(exposure.exposure_id)
    told: list[ExposureRow] = []
    step = CompareStep(settings, journal, lambda: False, access_of(settings), told.append)
    assert step.run(exposure.exposure_id, worker)
    assert journal.has_digest(exposure.exposure_id)
    assert [each.sampled_digest for each in told] == [exposure.sampled_digest]  # the receiver learns it too
    os.utime(movie, ns=(5, 9))
    assert step.run(exposure.exposure_id, worker)
    assert len(told) == 1
    assert journal.exposure(exposure.exposure_id).state == State.RELEASED


def test_what_cannot_be_read_now_stays_as_it_is(
    settings: WatchSettings, journal: Journal, exposure: ExposureRow, worker: ScriptedWorker, movie: Path
) -> None:
    movie.unlink()
    assert not compare(settings, journal, exposure, worker)
    assert journal.exposure(exposure.exposure_id) == exposure


def test_an_exposure_that_is_processed_again_meanwhile_is_left_alone(
    settings: WatchSettings, journal: Journal, exposure: ExposureRow, worker: ScriptedWorker, movie: Path
) -> None:
    movie.write_bytes(b"other")
    journal.begin_again(exposure.exposure_id, "tried again")
    assert compare(settings, journal, exposure, worker)
    assert journal.exposure(exposure.exposure_id).reason == "tried again"
