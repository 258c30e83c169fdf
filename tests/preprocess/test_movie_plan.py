"""What a dry run knows of a movie: every value with its source, and everything that stands against its alignment."""

from __future__ import annotations

import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.movie_plan import MoviePlan, MoviePlanner
from preprocess.settings import AlignmentSettings, FrameSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

STEM = "FoilHole_1_Data_2_1_20260101_101010"
NOTHING = Acquisition()
KNOWN = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    movie = simulate_movie(SimulationSettings(height=64, width=96, frame_count=5, seed=1))
    movie.write(folder / f"{STEM}_fractions.tiff")
    movie.write_epu_xml(folder / f"{STEM}.xml")
    movie.write_gain(folder / "gain.mrc", movie_format="tiff")
    movie.write(folder / "a.mrc")
    movie.write(folder / "events.eer")
    (folder / "cut.mrc").write_bytes((folder / "a.mrc").read_bytes()[:9000])
    return folder


def plan(
    movie: Path, *, flags: Acquisition = NOTHING, configured: Acquisition = NOTHING, **settings: object
) -> MoviePlan:
    chosen = ChosenAlignment(settings=AlignmentSettings(**settings), flags=flags, configured=configured)
    return MoviePlanner().plan(movie, chosen)


def test_every_value_has_its_source(folder: Path) -> None:
    gain = GainSettings(path=folder / "gain.mrc", rotate_degrees=180, orientation="given")
    told = plan(
        folder / f"{STEM}_fractions.tiff",
        flags=Acquisition(voltage_kv=200.0),
        gain=gain,
        frames=FrameSettings(first=2),
    )
    assert told.problems == told.warnings == ()
    assert told.frames is not None
    assert (told.frames.count, told.frames.first, told.frames.last) == (5, 2, 5)
    assert (told.frames.width_px, told.frames.height_px, told.frames.format) == (96, 64, "tiff")
    assert told.acquisition is not None
    assert (told.acquisition.pixel_size_angstrom, told.acquisition.voltage_kv) == (pytest.approx(1.1), 200.0)
    sources = told.acquisition.sources
    names = ("pixel_size_angstrom", "voltage_kv", "dose_per_frame_e_per_a2")
    assert [sources[name] for name in names] == ["epu-xml", "flag", "epu-xml"]
    assert told.total_dose_e_per_a2 == pytest.approx(5 * told.dose_per_frame_e_per_a2)
    assert told.gain is not None
    assert (told.gain.path, told.gain.found_by, told.gain.turned) == (
        gain.path,
        "it was named",
        "rotated by 180 degrees",
    )


def test_all_that_is_missing_is_told_with_what_is_known(folder: Path) -> None:
    told = plan(folder / "a.mrc", frames=FrameSettings(first=9))
    assert [problem.exit_code for problem in told.problems] == [2, 2]
    frames, exposure = told.problems
    assert "5" in frames.text
    assert exposure.text.startswith("the voltage and the dose of the movie are not known")
    assert "--voltage" in exposure.hint
    assert told.frames is not None
    assert (told.frames.count, told.frames.first) == (5, None)
    assert told.acquisition is not None
    assert told.acquisition.sources["pixel_size_angstrom"] == "header"


def test_a_gain_reference_that_does_not_fit_or_cannot_be_read_is_told_by_its_header(folder: Path) -> None:
    (folder / "small.mrc").unlink(missing_ok=True)
    with mrcfile.new(folder / "small.mrc") as file:
        file.set_data(np.ones((33, 44), np.float32))
    (folder / "empty.mrc").touch()
    (folder / "stack.mrc").write_bytes((folder / "a.mrc").read_bytes())
    for name, told in (
        ("small.mrc", "44 x 33 px"),
        ("empty.mrc", "cannot be read"),
        ("gone.mrc", "cannot be read"),
        ("stack.mrc", "holds several images"),
    ):
        (problem,) = plan(folder / "a.mrc", flags=KNOWN, gain=GainSettings(path=folder / name)).problems
        assert told in problem.text
        assert problem.is_for_person
    turned = GainSettings(path=folder / "gain.mrc", rotate_degrees=90)
    assert plan(folder / "a.mrc", flags=KNOWN, gain=turned).problems == ()


def test_raw_counts_without_a_gain_reference_are_warned_or_refused_as_in_an_alignment(folder: Path) -> None:
    told = plan(folder / "events.eer", flags=KNOWN)
    assert told.problems == ()
    (warning,) = (text for text in told.warnings if "gain" in text)
    assert warning.startswith("it would be aligned without a gain reference")
    assert told.gain is not None
    assert (told.gain.path, told.gain.need) == (None, "needed")
    (problem,) = plan(folder / "events.eer", flags=KNOWN, gain=GainSettings(required=True)).problems
    assert "--require-gain" in problem.text
    none = plan(folder / "events.eer", flags=KNOWN, gain=GainSettings(absent=True))
    assert none.problems == ()
    assert none.gain is not None
    assert none.gain.found_by == "--gain none"


def test_a_movie_that_cannot_be_opened_is_its_own_problem(folder: Path) -> None:
    told = plan(folder / "cut.mrc", flags=KNOWN)
    (problem,) = told.problems
    assert (problem.exit_code, problem.is_for_person) == (4, False)
    assert told.frames is None


def test_contradicting_sources_are_told(folder: Path) -> None:
    told = plan(folder / "a.mrc", flags=Acquisition(dose_per_frame_e_per_a2=1.0, total_dose_e_per_a2=50.0))
    (problem,) = told.problems
    assert "contradict each other" in problem.text
    assert told.acquisition is None


def test_only_headers_are_read(tmp_path: Path) -> None:
    movie = tmp_path / "large.mrc"
    with mrcfile.mmap(movie, mode="w+"):
        pass
    header = np.fromfile(movie, np.uint8, 1024)
    frame_count = 100_000
    header[:12] = np.array([5760, 4092, frame_count], "<i4").view(np.uint8)
    header[12:16] = np.array([6], "<i4").view(np.uint8)
    header.tofile(movie)
    os.truncate(
        movie, 1024 + 5760 * 4092 * 2 * frame_count
    )  # 4.7 TB, none of them on the disk: who reads them never ends
    told = plan(movie, flags=KNOWN)
    assert told.problems == ()
    assert told.frames is not None
    assert told.frames.count == frame_count
