"""Retries: what is done again, what is refused, and what the journal says afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal, WrongTransition
from agents.journal.outputs import Output
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.retries import RetryRefused, do_retry, plan_retry, retry_one
from agents.share_errors import ShareSilent
from agents.workers.jobs import to_json
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.settings import AlignmentSettings
from transfer.wire.exposure_record import (
    AcquisitionRecord,
    ExposureRecord,
    FileReference,
    FileRole,
    ShiftsRecord,
)

SETTINGS = to_json(ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition()))
BINNED = {"settings": {"bin_factor": 2}}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def journal(work: Path) -> Iterator[Journal]:
    source = work.parent / "source"
    source.mkdir()
    journal = Journal(work)
    journal.note(source=str(source), settings=json.dumps(SETTINGS))
    yield journal
    journal.close()


def find(journal: Journal, movie: str, state: State) -> ExposureRow:
    """Enter a movie and take it to a state; its aligned output is the file `x` in the work folder."""
    (Path(journal.about("source") or "") / movie).touch()
    found = journal.find(movie, Path(movie).stem, movie)
    if state in (State.FAILED, State.FOUND):
        return found if state == State.FOUND else journal.change(found.exposure_id, state, "unreadable")
    journal.finish(found.exposure_id, FileIdentity(1, 2, 3, 4))
    _seal(journal, found)
    for following in (State.SENDING, State.COMMITTED, State.RELEASED):
        journal.change(found.exposure_id, following)
    assert state == State.RELEASED
    return journal.exposure(found.exposure_id)


def _seal(journal: Journal, found: ExposureRow) -> None:
    file = FileReference(role=FileRole.MICROGRAPH, path=f"{found.label}.mrc", revision=1, size_bytes=3, digest="0" * 64)
    record = ExposureRecord(
        exposure_id=found.exposure_id,
        revision=1,
        movie=found.movie,
        label=found.label,
        micrograph_pixel_size_angstrom=1.0,
        micrograph_width_px=2,
        micrograph_height_px=2,
        acquisition=AcquisitionRecord(
            voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1, movie_pixel_size_angstrom=1.0, frame_count=1
        ),
        shifts=ShiftsRecord(first_frame=1, y_px=(0.0,), x_px=(0.0,)),
        figures={},
        warnings=(),
        files=(file,),
    )
    output = Output(
        role="micrograph", local_path="x", remote_path=file.path, file_revision=1, digest="0" * 64, size_bytes=3
    )
    journal.seal(found.exposure_id, settings=SETTINGS, outputs=[output], record=record)


def test_all_failed_ones_and_named_ones_are_planned_once_each(journal: Journal, work: Path) -> None:
    failed = find(journal, "a.tif", State.FAILED)
    released = find(journal, "b.tif", State.RELEASED)
    targets = ["a.tif", "b", str(released.exposure_id)]
    planned = plan_retry(journal, work, targets, changed=BINNED)
    assert [(plan.exposure.movie, plan.action) for plan in planned] == [("a.tif", "align"), ("b.tif", "align")]
    assert journal.exposure(failed.exposure_id).state == State.FAILED
    after = [do_retry(journal, plan) for plan in planned]
    assert [(row.state, row.revision, row.changes) for row in after] == [
        (State.FOUND, 1, BINNED),
        (State.FOUND, 2, BINNED),
    ]


@pytest.mark.parametrize("there", [True, False])
def test_a_failed_upload_is_sent_again_only_if_its_files_are_there(journal: Journal, work: Path, there: bool) -> None:
    found = journal.find("a.tif", "a", "a")
    journal.finish(found.exposure_id, FileIdentity(1, 2, 3, 4))
    _seal(journal, found)
    journal.change(found.exposure_id, State.SENDING)
    journal.change(found.exposure_id, State.FAILED, "refused")
    if there:
        (work / "x").touch()
    assert retry_one(journal, work, found.exposure_id) == ""
    assert journal.exposure(found.exposure_id).state == (State.ALIGNED if there else State.FOUND)


def test_a_failed_upload_is_aligned_again_with_other_settings(journal: Journal, work: Path) -> None:
    found = journal.find("a.tif", "a", "a")
    journal.finish(found.exposure_id, FileIdentity(1, 2, 3, 4))
    _seal(journal, found)
    journal.change(found.exposure_id, State.SENDING)
    journal.change(found.exposure_id, State.FAILED, "refused")
    (work / "x").touch()
    (planned,) = plan_retry(journal, work, ["a"], changed=BINNED)
    assert planned.action == "align"


def test_what_would_give_the_same_result_or_is_under_way_is_refused(journal: Journal, work: Path) -> None:
    released, found = find(journal, "a.tif", State.RELEASED), find(journal, "b.tif", State.FOUND)
    assert "a.tif is done already" in retry_one(journal, work, released.exposure_id)
    assert "b.tif is still being processed (state: found)" in retry_one(journal, work, found.exposure_id)
    unknown = uuid4()
    assert retry_one(journal, work, unknown) == f"no exposure is named {unknown}"
    assert journal.exposures() == [released, found]


def test_one_that_waits_for_an_input_takes_other_settings(journal: Journal, work: Path) -> None:
    found = find(journal, "a.tif", State.FOUND)
    journal.explain(found.exposure_id, "waits for its gain reference")
    with pytest.raises(RetryRefused, match="still being processed"):
        plan_retry(journal, work, ["a"], changed={})
    (planned,) = plan_retry(journal, work, ["a"], changed=BINNED)
    after = do_retry(journal, planned)
    assert (after.state, after.revision, after.changes) == (State.FOUND, 1, BINNED)
    journal.finish(found.exposure_id, FileIdentity(1, 2, 3, 4))
    with pytest.raises(WrongTransition, match="its settings cannot change now"):
        do_retry(journal, planned)


def test_a_movie_that_is_gone_is_refused(journal: Journal, work: Path) -> None:
    find(journal, "a.tif", State.RELEASED)
    (work.parent / "source" / "a.tif").unlink()
    with pytest.raises(RetryRefused, match=r"a\.tif is no longer in"):
        plan_retry(journal, work, ["a"], changed=BINNED)


def test_a_share_that_does_not_answer_is_not_a_movie_that_is_gone(journal: Journal, work: Path) -> None:
    find(journal, "a.tif", State.RELEASED)

    def look(path: Path) -> None:
        assert path.name == "a.tif"
        raise ShareSilent(0)

    with pytest.raises(RetryRefused, match="cannot be read: the share has not answered since"):
        plan_retry(journal, work, ["a"], changed=BINNED, look=look)


def test_a_label_of_two_movies_is_refused(journal: Journal, work: Path) -> None:
    find(journal, "a.tif", State.FAILED)
    find(journal, "a.mrc", State.FAILED)
    with pytest.raises(RetryRefused, match="2 exposures are named a"):
        plan_retry(journal, work, ["a"], changed={})
