"""What a session learns of its gain references, and what becomes of the movies that were held back meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.steps.session_orientations import LearnedOrientations
from agents.workers.contract import AlignmentFailure, FailureKind
from agents.workers.jobs import orientation_of, orientations_from_json, orientations_to_json
from preprocess.correction.orientation_evidence import OrientationEvidence, evidence_of
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.gain_orientations import GainOrientationUnsure
from preprocess.results import GainUse, ProcessedMovie
from preprocess.session_orientations import camera_key, evidence_key, gain_key
from preprocess.settings import GainSettings

CAMERA = camera_key(".TIFF", 64, 96)
KEY = evidence_key(CAMERA, GainSettings())
TURNED = GainUse(rotate_degrees=0, flip="y", operation="auto", decision="turned")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    (tmp_path / "work").mkdir()
    journal = Journal(tmp_path / "work")
    yield journal
    journal.close()


def finished(journal: Journal, tmp_path: Path, name: str) -> ExposureRow:
    (tmp_path / name).write_bytes(name.encode())
    found = journal.find(name, name, name)
    return journal.finish(found.exposure_id, FileIdentity.of((tmp_path / name).stat()))


def result(use: GainUse, digest: str = "d1", *, height: int = 64) -> ProcessedMovie:
    size = {"movie_width_px": 96, "movie_height_px": height, "micrograph_width_px": 96, "micrograph_height_px": height}
    return ProcessedMovie(
        movie=Path("/m/a.tiff"), stem="a", acquisition=Acquisition(), frame_count=3, micrograph_pixel_size_angstrom=1.0,
        first_frame=1, shifts_y_px=(), shifts_x_px=(), figures={}, files=(), seconds={}, device="cpu", software="x",
        gain=use, gain_digest=digest, **size,
    )  # fmt: skip


def evidence(seed: int) -> OrientationEvidence:
    random = np.random.default_rng(seed)
    return evidence_of(random.poisson(5, (64, 96)).astype(np.float32), random.normal(1, 0.1, (64, 96)))


def hold(learned: LearnedOrientations, journal: Journal, exposure: ExposureRow, seed: int = 0) -> None:
    unsure = GainOrientationUnsure("faint", CAMERA, KEY, evidence(seed))
    failure = AlignmentFailure(kind=FailureKind.HELD_BACK, reason="faint", orientation=orientation_of(unsure))
    learned.hold(exposure, AlignmentFailure.from_json(failure.as_json()))
    journal.change(exposure.exposure_id, State.HELD, "faint")


def test_evidence_of_movies_that_are_held_back_is_added_up_once_each(journal: Journal, tmp_path: Path) -> None:
    learned = LearnedOrientations(journal)
    exposures = [finished(journal, tmp_path, f"{seed}.tiff") for seed in range(7)]
    for seed, exposure in enumerate(exposures[:2]):
        hold(learned, journal, exposure, seed)
    learned.hold(
        exposures[0], AlignmentFailure(kind=FailureKind.HELD_BACK, reason="faint", orientation=orientation_of(
            GainOrientationUnsure("faint", CAMERA, KEY, evidence(0)))),
    )  # fmt: skip
    known = LearnedOrientations(journal).known()  # as after a restart
    assert known.evidence == {KEY: evidence(0) + evidence(1)}
    assert orientations_from_json(orientations_to_json(known)) == known
    for exposure in exposures[2:]:
        hold(learned, journal, exposure)
    assert learned.known().evidence[KEY].movies == 5


def test_a_movie_that_decides_lets_those_that_were_held_back_begin_again(journal: Journal, tmp_path: Path) -> None:
    learned = LearnedOrientations(journal)
    held, other, clear = (finished(journal, tmp_path, name) for name in ("held.tiff", "other.tiff", "clear.tiff"))
    hold(learned, journal, held)
    journal.change(other.exposure_id, State.HELD, "its pixel size is not known")
    learned.learn(clear, result(TURNED))
    assert learned.known().decided == {CAMERA: TURNED, gain_key("d1", CAMERA): TURNED}
    assert journal.exposure(held.exposure_id).state is State.FOUND
    assert journal.exposure(other.exposure_id).state is State.HELD
    before = journal.about("gain_orientations")
    learned.learn(clear, result(TURNED))
    assert journal.about("gain_orientations") == before


@pytest.mark.parametrize("decision", ["unsure", "given"])
def test_what_no_movie_and_no_person_decided_is_not_learned(journal: Journal, tmp_path: Path, decision: str) -> None:
    learned = LearnedOrientations(journal)
    use = GainUse(rotate_degrees=0, flip="none", operation="auto", decision=decision)
    learned.learn(finished(journal, tmp_path, "a.tiff"), result(use))
    assert learned.known().decided == {}


def test_a_person_decides_with_retry(journal: Journal, tmp_path: Path) -> None:
    learned = LearnedOrientations(journal)
    held, told = (finished(journal, tmp_path, name) for name in ("held.tiff", "told.tiff"))
    hold(learned, journal, held)
    learned.learn(told, result(TURNED))
    journal.change(told.exposure_id, State.HELD, "")
    given = {"settings": {"gain": {"orientation": "given", "rotate_degrees": 180, "flip": "none"}}}
    told = journal.begin_again(told.exposure_id, "tried again", given)
    said = GainUse(rotate_degrees=180, flip="none", operation="auto", decision="given")
    learned.learn(told, result(said))
    assert learned.known().decided == {CAMERA: said, gain_key("d1", CAMERA): said}
    assert journal.exposure(held.exposure_id).state is State.FOUND


def test_gain_references_that_lie_differently_decide_for_themselves_alone(journal: Journal, tmp_path: Path) -> None:
    learned = LearnedOrientations(journal)
    exposure = finished(journal, tmp_path, "a.tiff")
    kept = GainUse(rotate_degrees=0, flip="none", operation="auto", decision="kept")
    learned.learn(exposure, result(TURNED, "d1"))
    learned.learn(exposure, result(kept, "d2"))
    learned.learn(exposure, result(TURNED, "d3"))
    by_gain = {gain_key("d1", CAMERA): TURNED, gain_key("d2", CAMERA): kept, gain_key("d3", CAMERA): TURNED}
    assert learned.known().decided == by_gain
    learned.learn(exposure, result(kept, "d1", height=32))
    assert learned.known().decided[camera_key(".tiff", 32, 96)] == kept
    for number in range(40):
        learned.learn(exposure, result(kept, f"of movie {number}".replace(" ", ""), height=32))
    assert len(learned.known().decided) == 33
