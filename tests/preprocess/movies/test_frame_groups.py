"""Which frames are used, and frames that are added up to estimate their motion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from preprocess.errors import ImpossibleSettings
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.dose import dose_weights
from preprocess.movies.frame_groups import FrameGroups, used_frames
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, EerSettings, FrameSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
PLAIN = AlignmentSettings(device="cpu", threads=2, float32=True)


def test_groups_are_equal_and_the_last_takes_the_rest():
    assert FrameGroups.of(10, 3).sizes == (3, 3, 4)
    assert FrameGroups.of(6, 1).single
    assert FrameGroups.of(1, 1).sizes == (1,)
    np.testing.assert_array_equal(FrameGroups.of(5, 2).of_frames(), [0, 0, 1, 1, 1])
    with pytest.raises(ImpossibleSettings, match="leave nothing to align"):
        FrameGroups.of(10, 6)


def test_steady_motion_is_interpolated_without_error():
    groups = FrameGroups.of(11, 3)
    motion = np.stack([0.5 * np.arange(11.0) - 2, -1.25 * np.arange(11.0)], 1)
    means = np.stack([motion[groups.of_frames() == group].mean(0) for group in range(3)])
    np.testing.assert_allclose(groups.to_frames(means), motion, atol=1e-12)


def test_groups_without_some_frames_stay_where_they_were_in_time():
    groups = FrameGroups.of(11, 3).without([0, 4, 6])
    assert groups.sizes == (2, 2, 4)
    motion = np.stack([0.5 * np.arange(11.0) - 2, -1.25 * np.arange(11.0)], 1)[list(groups.places)]
    means = np.stack([motion[groups.of_frames() == group].mean(0) for group in range(3)])
    np.testing.assert_allclose(groups.to_frames(means), motion, atol=1e-12)
    again = groups.without([0, 1])
    assert (again.sizes, again.places) == ((2, 4), (3, 5, 7, 8, 9, 10))


def test_sums_of_frames_have_room():
    assert FrameGroups.of(8, 4).sum_dtype(np.dtype(np.uint8)) == np.uint16
    assert FrameGroups.of(8, 4).sum_dtype(np.dtype(np.uint16)) == np.float32
    assert FrameGroups.of(900, 300).sum_dtype(np.dtype(np.uint8)) == np.float32
    assert FrameGroups.of(8, 1).sum_dtype(np.dtype(np.uint8)) == np.uint8


@pytest.mark.parametrize("frames", [FrameSettings(first=11), FrameSettings(last=11), FrameSettings(first=5, last=4)])
def test_frames_that_the_movie_has_not(frames):
    with pytest.raises(ImpossibleSettings, match="the movie has 10"):
        used_frames(frames, 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    simulate_movie(SimulationSettings(height=320, width=384, frame_count=12, seed=5, gain=False)).write(
        folder / "m.mrcs"
    )
    frames = [frame.copy() for frame in mrcfile.read(folder / "m.mrcs")]
    write_mrc(folder / "part.mrcs", frames[2:10], frame_count=8, mode=0)
    return folder


def test_a_part_of_a_movie_is_that_part_as_a_movie_with_the_dose_before_it(folder, tmp_path):
    chosen = replace(PLAIN, frames=FrameSettings(first=3, last=10))
    part = process_movie(folder / "m.mrcs", tmp_path / "a", settings=chosen, acquisition=EXPOSURE)
    alone = process_movie(
        folder / "part.mrcs", tmp_path / "b", settings=PLAIN, acquisition=replace(EXPOSURE, pre_exposure_e_per_a2=1.66)
    )
    np.testing.assert_array_equal(mrcfile.read(part.file("micrograph")), mrcfile.read(alone.file("micrograph")))
    assert (part.first_frame, part.frame_count, len(part.shifts_y_px)) == (3, 12, 8)
    assert part.shifts_x_px == alone.shifts_x_px
    told = json.loads(part.file("results").read_text())
    assert (told["motion"]["first_frame"], told["motion"]["last_frame"]) == (3, 10)
    assert told["micrograph"]["dose_weighting"]["total_dose_e_per_a2"] == pytest.approx(8.3)
    assert told["acquisition"]["total_dose_e_per_a2"] == pytest.approx(9.96)
    star = starfile.read(part.file("motion_star"))
    assert (star["general"]["rlnMicrographStartFrame"], star["general"]["rlnImageSizeZ"]) == (3, 12)
    assert star["general"]["rlnMicrographPreExposure"] == 0
    assert star["global_shift"]["rlnMicrographFrameNumber"].tolist() == list(range(3, 11))


def test_groups_help_a_faint_movie_and_each_frame_has_its_own_shift(tmp_path):
    movie = simulate_movie(
        SimulationSettings(
            height=384, width=384, frame_count=24, seed=2, gain=False, dose_per_frame_e_per_a2=0.08, jitter_px=0.0
        )
    )
    movie.write(tmp_path / "faint.tiff")
    errors = []
    for group in (1, 4):
        result = process_movie(
            tmp_path / "faint.tiff",
            tmp_path / f"{group}",
            settings=replace(PLAIN, frames=FrameSettings(group=group)),
            acquisition=replace(EXPOSURE, dose_per_frame_e_per_a2=0.08),
        )
        shifts = np.stack([result.shifts_y_px, result.shifts_x_px], 1)
        assert len(shifts) == 24
        error = shifts - movie.truth.shifts_yx_px
        errors.append(np.sqrt(((error - error.mean(0)) ** 2).mean()))
    assert errors[1] < 0.7 * errors[0]


def test_doses_of_an_mdoc_that_differ_reach_the_weights(folder, tmp_path):
    movie = tmp_path / "m.mrcs"
    movie.write_bytes((folder / "m.mrcs").read_bytes())
    (tmp_path / "m.mrcs.mdoc").write_text(
        "[FrameSet = 0]\nPixelSpacing = 1.1\nVoltage = 300\nFrameDosesAndNumber = 0.4 8 2.5 4\nExposureDose = 13.2\n"
    )
    result = process_movie(
        movie, tmp_path / "out", settings=replace(PLAIN, unweighted=True, frames=FrameSettings(first=7))
    )
    assert result.acquisition.frame_doses_e_per_a2 == (0.4,) * 8 + (2.5,) * 4
    assert result.acquisition.dose_per_frame_e_per_a2 == pytest.approx(1.1)
    told = json.loads(result.file("results").read_text())
    assert told["micrograph"]["dose_weighting"]["total_dose_e_per_a2"] == pytest.approx(13.2)
    assert told["acquisition"]["sources"]["frame_doses_e_per_a2"] == "mdoc"
    # a ring of noise, whose weighted sum has the root of the weights' summed squares
    weighted, plain = (mrcfile.read(result.file(role)) for role in ("micrograph", "micrograph_unweighted"))
    after = np.array([2.8, 3.2, 5.7, 8.2, 10.7, 13.2])
    ratio = np.abs(np.fft.rfft2(weighted)) ** 2, np.abs(np.fft.rfft2(plain)) ** 2
    k = np.hypot(np.fft.fftfreq(320)[:, None], np.fft.rfftfreq(384)) / 1.1
    ring = (k > 0.20) & (k < 0.22)
    weights = dose_weights(after, np.array([0.21]), 300.0)[:, 0]
    noise = np.sqrt((weights**2).sum() / 6)  # independent noise of equal strength in all frames
    assert np.sqrt(ratio[0][ring].sum() / ratio[1][ring].sum()) == pytest.approx(noise, rel=0.02)


def test_the_user_s_dose_beats_the_mdoc_s(folder, tmp_path):
    movie = tmp_path / "m.mrcs"
    movie.write_bytes((folder / "m.mrcs").read_bytes())
    (tmp_path / "m.mrcs.mdoc").write_text("[FrameSet = 0]\nFrameDosesAndNumber = 0.4 8 2.5 4\n")
    result = process_movie(movie, tmp_path / "out", settings=PLAIN, acquisition=EXPOSURE)
    assert result.acquisition.frame_doses_e_per_a2 is None
    assert result.acquisition.dose_per_frame_e_per_a2 == 0.83


def test_what_a_reader_leaves_out_is_said(tmp_path):
    movie = simulate_movie(SimulationSettings(height=128, width=128, frame_count=6, seed=1, gain=False))
    movie.write(tmp_path / "m.eer", hardware_frames_per_frame=4)
    result = process_movie(
        tmp_path / "m.eer",
        tmp_path / "out",
        settings=replace(PLAIN, eer=EerSettings(hardware_frames_per_frame=5)),
        acquisition=EXPOSURE,
    )
    assert any("the last 4 of 24 hardware frames" in warning.text for warning in result.warnings)
