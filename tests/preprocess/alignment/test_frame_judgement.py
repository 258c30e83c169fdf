"""Frames without usable signal, by their figures alone, and in whole movies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from preprocess.alignment.frame_judgement import (
    BOXES,
    BRIGHT,
    EMPTY,
    FOREIGN,
    NOISY,
    PARTLY_LIT,
    SAMPLED_ROWS,
    SATURATED,
    LeftOutFrame,
    identical_frames,
    judge_by_correlation,
    judge_by_counts,
    unexposed,
)
from preprocess.backends.cpu.backend import CpuBackend
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, CtfSettings, EerSettings, FrameSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc
from preprocess.simulation.eer_writer import write_eer

COUNT, SIDE = 10, 256
EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=2.0)
PLAIN = AlignmentSettings(device="cpu", threads=2, float32=True, unweighted=True, ctf=CtfSettings(wanted=False))


def moments(*levels: float, noise: float = 1.0, boxes: int = 64) -> np.ndarray:
    """Those of frames of Poisson counts, evenly lit."""
    means = np.repeat(np.array(levels, float)[:, None], boxes, 1)
    return np.stack([np.full_like(means, 2000), means, noise * means], 1)


def judged(figures: np.ndarray, expected: np.ndarray | None = None) -> list[tuple[int, str]]:
    return [(frame.place, frame.reason) for frame in judge_by_counts(figures, expected)]


def test_frames_of_unlike_doses_are_believed() -> None:
    assert judged(moments(1, 0.25, 1.1, 0.9, 2.5, 1)) == []
    assert judged(moments(1)) == []
    assert judged(moments(0, 0, 0)) == []


def test_listed_doses_are_expected() -> None:
    doses = np.array([0.1, 0.1, 0.1, 0.1, 1])
    assert judged(moments(*doses), doses) == []
    assert judged(moments(1, 1, 1, 1, 0.5), doses) == [(4, EMPTY)]
    assert judged(moments(1, 1, 1, 1, 5)) == [(4, BRIGHT)]


def test_empty_and_saturated_frames_are_found_even_if_they_are_most() -> None:
    assert judged(moments(0, 1, 1, 0.05, 1, 0)) == [(0, EMPTY), (3, EMPTY), (5, EMPTY)]
    assert judged(moments(0, 0, 0, 1, 1)) == [(0, EMPTY), (1, EMPTY), (2, EMPTY)]
    assert judged(moments(0.02, 0.02, 0.02, 1, 1)) == [(0, EMPTY), (1, EMPTY), (2, EMPTY)]
    saturated = moments(1, 1, 255, 1)
    saturated[2, 2] = 0
    assert judged(saturated) == [(2, SATURATED)]


def test_unusual_noise_and_light_are_found() -> None:
    noisy = moments(1, 1, 1, 1)
    noisy[1, 2] *= 6
    assert judged(noisy) == [(1, NOISY)]
    shaded = moments(1, 1, 1, 1, 1)
    shaded[3, 1, :20] = 0
    assert judged(shaded) == [(3, PARTLY_LIT)]
    shaded[3, 1, 4:20] = 1  # a corner is in the shade: four boxes of 64
    assert judged(shaded) == []


def test_a_frame_whose_last_rows_were_not_written_is_found() -> None:
    cut = moments(1, 1, 1, 1, 1)
    cut[2, 1, -8:] = 0.03
    assert judged(cut) == [(2, PARTLY_LIT)]


def test_counts_with_an_offset_and_damaged_figures_are_left_to_others() -> None:
    assert judged(moments(-5, 1, 1)) == []
    assert judged(moments(np.nan, 1, 1)) == []


def test_only_a_clear_mismatch_is_foreign() -> None:
    ones = np.ones(8)
    assert judge_by_correlation(np.array([1, 1.02, 0.1, 0.98, 1, 1.01, 0.99, 1]), ones) == (2,)
    unsure = np.array([1, 1.6, 0.3, 0.5, 1.2, 0.8, 1.5, 0.6])
    assert judge_by_correlation(unsure, ones) == ()
    quarter = np.where(np.arange(8) == 2, 0.25, 1)
    assert judge_by_correlation(quarter, quarter) == ()
    assert judge_by_correlation(np.array([1.0, 0.0]), ones[:2]) == ()


def test_empty_frames_at_the_ends_have_no_dose() -> None:
    left_out = [LeftOutFrame(place, EMPTY) for place in (0, 1, 5, 9)]
    assert unexposed(left_out, 10) == (0, 1, 9)
    assert unexposed([LeftOutFrame(0, SATURATED)], 10) == ()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack(list(simulate_movie(settings_of(3)).frames()))


@pytest.fixture(scope="module")
def others() -> np.ndarray:
    return np.stack(list(simulate_movie(settings_of(4)).frames()))


def settings_of(seed: int) -> SimulationSettings:
    return SimulationSettings(
        height=SIDE, width=SIDE, frame_count=COUNT, seed=seed, gain=False, dose_per_frame_e_per_a2=4.0, jitter_px=0.1
    )


def run(folder: Path, frames: np.ndarray, settings: AlignmentSettings = PLAIN) -> ProcessedMovie:
    write_mrc(folder / "m.mrc", list(frames), frame_count=len(frames), mode=0)
    return process_movie(folder / "m.mrc", folder / "out", settings=settings, acquisition=EXPOSURE)


def shifts_of(result: ProcessedMovie) -> np.ndarray:
    return np.stack([result.shifts_y_px, result.shifts_x_px], 1)


BAD = {
    "empty first": ((0, 1), EMPTY),
    "empty within": ((5,), EMPTY),
    "empty last": ((8, 9), EMPTY),
    "saturated": ((4,), SATURATED),
    "foreign first": ((0,), FOREIGN),
    "foreign": ((6,), FOREIGN),
    "half lit": ((9,), PARTLY_LIT),
}


def spoilt(frames: np.ndarray, others: np.ndarray, what: str) -> np.ndarray:
    movie = frames.copy()
    for place in BAD[what][0]:
        if what.startswith("empty"):
            movie[place] = 0
        elif what == "saturated":
            movie[place] = 127
        elif what == "half lit":
            movie[place, :, SIDE // 2 :] = 0
        else:
            movie[place] = others[place]
    return movie


@pytest.mark.parametrize("what", BAD)
def test_bad_frames_change_neither_motion_nor_sum_of_the_others(
    frames: np.ndarray, others: np.ndarray, tmp_path: Path, what: str
) -> None:
    places, reason = BAD[what]
    good = [place for place in range(COUNT) if place not in places]
    result = run(tmp_path, spoilt(frames, others, what))
    (tmp_path / "alone").mkdir()
    alone = run(tmp_path / "alone", frames[good])
    assert shifts_of(result)[good[0]].tolist() == [0, 0]
    assert shifts_of(result)[good] == pytest.approx(shifts_of(alone), abs=0.02)  # foreign frames hide hot pixels
    image, wanted = (mrcfile.read(one.file("micrograph_unweighted")) for one in (result, alone))
    assert np.abs(image - wanted).mean() < 0.1
    steps = np.abs(np.diff(shifts_of(result), axis=0))
    assert steps.max() <= np.abs(np.diff(shifts_of(alone), axis=0)).max() + 0.02
    [warning] = result.warnings
    assert warning.code == "frames-without-signal"
    assert warning.frame == (places[0] + 1 if len(places) == 1 else None)
    told = json.loads(result.file("results").read_text())
    numbers = [place + 1 for place in places]
    assert told["motion"]["frames_left_out"] == [{"frame": number, "reason": reason} for number in numbers]
    assert told["warnings"] == [warning.text]
    star = starfile.read(result.file("motion_star"))
    assert star["frames_left_out"]["rlnMicrographFrameNumber"].tolist() == numbers
    assert len(star["global_shift"]) == COUNT


def test_a_movie_of_good_frames_says_nothing(frames: np.ndarray, tmp_path: Path) -> None:
    result = run(tmp_path, frames)
    assert result.warnings == ()
    assert json.loads(result.file("results").read_text())["motion"]["frames_left_out"] == []
    assert "frames_left_out" not in starfile.read(result.file("motion_star"))


@pytest.mark.parametrize(("what", "total"), [("empty first", 16.0), ("empty last", 16.0), ("empty within", 20.0)])
def test_the_dose_is_that_of_the_exposed_frames(
    frames: np.ndarray, others: np.ndarray, tmp_path: Path, what: str, total: float
) -> None:
    result = run(tmp_path, spoilt(frames, others, what))
    told = json.loads(result.file("results").read_text())
    assert told["micrograph"]["dose_weighting"]["total_dose_e_per_a2"] == pytest.approx(total)
    assert ("no dose is counted" in result.warnings[0].text) == (total < 20)


@pytest.mark.parametrize("what", ["empty first", "saturated", "foreign", "half lit"])
def test_bad_frames_take_no_part_in_groups(frames: np.ndarray, others: np.ndarray, tmp_path: Path, what: str) -> None:
    grouped = replace(PLAIN, frames=FrameSettings(group=2))
    result = run(tmp_path, spoilt(frames, others, what), grouped)
    told = json.loads(result.file("results").read_text())
    assert [entry["frame"] - 1 for entry in told["motion"]["frames_left_out"]] == list(BAD[what][0])
    good = [place for place in range(COUNT) if place not in BAD[what][0]]
    (tmp_path / "clean").mkdir()
    differs = (shifts_of(result) - shifts_of(run(tmp_path / "clean", frames, grouped)))[good]
    assert np.abs(differs - differs.mean(0)).max() < 0.5


def test_hardware_frames_without_electrons_are_left_out(frames: np.ndarray, tmp_path: Path) -> None:
    dark = np.concatenate([np.zeros_like(frames[:2]), frames[2:]])
    write_eer(
        tmp_path / "m.eer", list(dark), pixel_size_angstrom=1.1, total_dose_e_per_px=30, hardware_frames_per_frame=4
    )
    settings = replace(PLAIN, eer=EerSettings(hardware_frames_per_frame=4), gain=GainSettings(absent=True))
    result = process_movie(tmp_path / "m.eer", tmp_path / "out", settings=settings, acquisition=EXPOSURE)
    assert result.warnings[0].text.startswith("frames 1 and 2 have no counts")
    np.testing.assert_array_equal(shifts_of(result)[:3], 0)
    assert np.abs(shifts_of(result)).max() < 20


def test_one_frame_of_signal_is_the_micrograph(frames: np.ndarray, tmp_path: Path) -> None:
    movie = np.zeros_like(frames[:3])
    movie[1] = frames[1]
    result = run(tmp_path, movie)
    assert [warning.code for warning in result.warnings] == ["frames-without-signal", "one-frame"]
    assert shifts_of(result).max() == 0
    image = mrcfile.read(result.file("micrograph_unweighted"))
    assert np.count_nonzero(np.abs(image - movie[1]) > 0.01) < 20  # hot pixels alone


def test_frames_with_the_very_same_counts_are_found():
    frames = np.random.default_rng(5).poisson(3, (6, 64, 64)).astype(np.uint8)
    frames[4] = frames[1]
    frames[2] = frames[3] = 7
    stack = CpuBackend(1).hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    assert identical_frames(stack.box_moments(BOXES, SAMPLED_ROWS)) == ((1, 4),)
