"""Whole movies through `process_movie`: errors against the simulator's truth, outputs, what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import scipy.ndimage
import starfile

from preprocess.errors import AcquisitionUnknown, DeviceError, OutputRefused, UnreadableMovie
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, EerSettings, GainSettings
from preprocess.simulation import SimulatedMovie, SimulationSettings, simulate_movie, write_mrc, write_tiff

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
PLAIN = AlignmentSettings(device="cpu", threads=2)


@pytest.fixture(scope="module")
def movie() -> SimulatedMovie:
    return simulate_movie(SimulationSettings(height=512, width=448, frame_count=10, seed=3))


@pytest.fixture(scope="module")
def folder(movie: SimulatedMovie, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    movie.write(folder / "tiff.tiff")
    movie.write(folder / "mrc.mrc")
    movie.write(folder / "eer.eer", hardware_frames_per_frame=8)
    for name in ("tiff", "mrc"):
        movie.write_gain(folder / f"{name}_gain.mrc", movie_format=name)
    movie.write_gain(folder / "eer_gain.gain", movie_format="eer")
    assert movie.gain is not None
    corrected = (frame * movie.gain for frame in movie.frames())
    write_mrc(folder / "corrected.mrc", corrected, frame_count=10, mode=2)
    return folder


def run(folder: Path, out: Path, name: str, settings: AlignmentSettings = PLAIN, **said: float) -> ProcessedMovie:
    return process_movie(folder / name, out, settings=settings, acquisition=replace(EXPOSURE, **said))


def error_px(result: ProcessedMovie, truth: np.ndarray) -> float:
    """Root mean square error of an axis, the mean over time removed."""
    error = np.stack([result.shifts_y_px, result.shifts_x_px], 1) - truth
    error -= error.mean(0)
    return float(np.sqrt((error**2).mean()))


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("tiff.tiff", "tiff_gain.mrc"),
        ("mrc.mrc", "mrc_gain.mrc"),
        ("eer.eer", "eer_gain.gain"),
        ("corrected.mrc", None),
        ("tiff.tiff", None),
    ],
)
def test_shifts_are_the_simulator_s(folder, movie, tmp_path, name, gain):
    settings = replace(
        PLAIN,
        gain=GainSettings(path=None if gain is None else folder / gain),
        eer=EerSettings(hardware_frames_per_frame=8),
    )
    result = run(folder, tmp_path, name, settings)
    assert (result.frame_count, result.first_frame) == (10, 1)
    assert (result.shifts_y_px[0], result.shifts_x_px[0]) == (0, 0)
    assert error_px(result, movie.truth.shifts_yx_px) < 0.15
    assert result.warnings == ()
    quality = json.loads(result.file("results").read_text())["quality"]
    assert quality["mean_counts_per_px_per_frame"] == pytest.approx(1, abs=0.1)
    assert (quality["residual_gain_correlation"] is None) == (gain is None)


def test_2048_px_at_one_electron_a_pixel_is_aligned_within_a_twentieth_of_a_pixel(tmp_path):
    big = simulate_movie(SimulationSettings(height=2048, width=2048, frame_count=8, seed=1))
    big.write(tmp_path / "big.tiff", compression="none")
    big.write_gain(tmp_path / "gain.mrc", movie_format="tiff")
    settings = replace(PLAIN, gain=GainSettings(path=tmp_path / "gain.mrc"))
    assert error_px(run(tmp_path, tmp_path / "out", "big.tiff", settings), big.truth.shifts_yx_px) < 0.05


def test_all_outputs_and_what_they_hold(folder, movie, tmp_path):
    settings = replace(PLAIN, unweighted=True, even_odd=True, gain=GainSettings(path=folder / "tiff_gain.mrc"))
    result = run(folder, tmp_path, "tiff.tiff", settings)
    names = {file.role: file.path.name for file in result.files}
    assert names == {
        "micrograph": "tiff.mrc",
        "micrograph_unweighted": "tiff_noDW.mrc",
        "micrograph_even": "tiff_EVN.mrc",
        "micrograph_odd": "tiff_ODD.mrc",
        "motion_star": "tiff.star",
        "thumbnail": "tiff.png",
        "spectrum": "tiff_spectrum.png",
        "ctf_spectrum": "tiff_ctf.mrc",
        "ctf_plot": "tiff_ctf.png",
        "ctf_profile": "tiff_ctf.csv",
        "motion_plot": "tiff_motion.png",
        "results": "tiff.json",
    }
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    images = {role: mrcfile.read(tmp_path / name).astype(float) for role, name in names.items() if name[-3:] == "mrc"}
    assert images["micrograph"].shape == (512, 448)
    np.testing.assert_allclose(
        images["micrograph_even"] + images["micrograph_odd"], images["micrograph_unweighted"], atol=0.05
    )
    corrected = sum(frame * movie.gain for frame in movie.frames())
    assert images["micrograph_unweighted"].mean() == pytest.approx(corrected.mean(), rel=0.01)
    assert images["micrograph"].mean() == pytest.approx(corrected.mean() / np.sqrt(10), rel=0.01)
    told = json.loads((tmp_path / "tiff.json").read_text())
    assert told["motion"]["shifts_y_px"] == pytest.approx(list(result.shifts_y_px), abs=1e-4)
    assert told["motion"]["total_angstrom"] == pytest.approx(result.figures["motion_total_angstrom"], rel=1e-4)
    assert told["acquisition"]["sources"]["pixel_size_angstrom"] == "flag"
    assert told["micrograph"]["dose_weighting"]["total_dose_e_per_a2"] == pytest.approx(8.3)
    assert set(result.seconds) == {"read", "align", "sum", "ctf", "write"}


@pytest.mark.parametrize("wrong", [{"rotate_degrees": 180}, {"flip": "x"}, {"flip": "y"}])
def test_a_wrong_orientation_of_the_gain_is_named(folder, tmp_path, wrong):
    settings = replace(PLAIN, gain=GainSettings(path=folder / "tiff_gain.mrc", orientation="given", **wrong))
    result = run(folder, tmp_path, "tiff.tiff", settings)
    told = json.loads(result.file("results").read_text())
    [warning] = result.warnings
    assert warning.text in told["warnings"]
    assert warning.text.startswith("the gain reference seems to have the wrong orientation")
    assert "--gain-rotate 0 --gain-flip none" in warning.text
    assert told["quality"]["residual_gain_correlation"] > 0.03


def test_the_sum_is_sharper_than_the_frames_are_apart(folder, movie, tmp_path):
    """The unweighted sum agrees with the noise-free first frame, which the plain sum without alignment does not."""
    settings = replace(PLAIN, unweighted=True, gain=GainSettings(path=folder / "tiff_gain.mrc"))
    result = run(folder, tmp_path, "tiff.tiff", settings)
    inner = (slice(16, -16), slice(16, -16))
    truth = movie.expected(0)[inner].ravel()
    aligned = mrcfile.read(result.file("micrograph_unweighted")).astype(float)[inner].ravel()
    blurred = sum(frame * movie.gain for frame in movie.frames())[inner].ravel()
    assert np.corrcoef(aligned, truth)[0, 1] > 1.15 * np.corrcoef(blurred, truth)[0, 1]


def test_the_same_bytes_elsewhere_later_and_with_other_threads(folder, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for name in ("tiff.tiff", "tiff_gain.mrc"):
        shutil.copy(folder / name, elsewhere / name)
    settings = replace(PLAIN, unweighted=True)
    first = replace(settings, gain=GainSettings(path=folder / "tiff_gain.mrc"))
    again = replace(settings, gain=GainSettings(path=elsewhere / "tiff_gain.mrc"), threads=3)
    run(folder, tmp_path / "a", "tiff.tiff", first)
    run(elsewhere, tmp_path / "b", "tiff.tiff", again)
    run(elsewhere, tmp_path / "b", "tiff.tiff", replace(again, threads=1))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_binned_in_fourier_space(folder, tmp_path):
    whole = run(folder, tmp_path / "1", "corrected.mrc", replace(PLAIN, float32=True))
    small = run(folder, tmp_path / "2", "corrected.mrc", replace(PLAIN, float32=True, bin_factor=2))
    assert (small.micrograph_height_px, small.micrograph_width_px) == (256, 224)
    assert small.micrograph_pixel_size_angstrom == pytest.approx(2.2)
    one, two = (np.fft.rfft2(mrcfile.read(result.file("micrograph"))) for result in (whole, small))
    np.testing.assert_allclose(two[:100, :100] / (256 * 224), one[:100, :100] / (512 * 448), atol=1e-5)
    assert small.shifts_y_px == whole.shifts_y_px


def test_outputs_that_are_no_longer_wanted_are_removed(folder, tmp_path):
    run(folder, tmp_path, "corrected.mrc", replace(PLAIN, unweighted=True))
    assert (tmp_path / "corrected_noDW.mrc").exists()
    run(folder, tmp_path, "corrected.mrc")
    assert not (tmp_path / "corrected_noDW.mrc").exists()


def test_star_has_relion_s_sign_and_hot_pixels(folder, tmp_path):
    result = run(folder, tmp_path, "tiff.tiff")
    blocks = starfile.read(result.file("motion_star"), always_dict=True)
    assert list(blocks) == ["general", "global_shift", "hot_pixels"]
    shifts = blocks["global_shift"]
    assert shifts["rlnMicrographFrameNumber"].tolist() == list(range(1, 11))
    assert shifts["rlnMicrographShiftX"].to_numpy() == pytest.approx(-np.array(result.shifts_x_px), abs=1e-5)
    assert shifts["rlnMicrographShiftY"].to_numpy() == pytest.approx(-np.array(result.shifts_y_px), abs=1e-5)
    general = blocks["general"]
    assert (general["rlnImageSizeX"], general["rlnImageSizeY"], general["rlnImageSizeZ"]) == (448, 512, 10)
    assert (general["rlnMicrographStartFrame"], general["rlnMotionModelVersion"]) == (1, 0)
    assert general["rlnMicrographMovieName"] == "tiff.tiff"


@pytest.mark.parametrize(
    ("count", "says"), [(1, "one frame, so there is nothing to align"), (2, "aligned to each other")]
)
def test_one_or_two_frames_are_no_error(movie, tmp_path, count, says):
    frames = [movie.frame(index) for index in (0, 5)[:count]]
    write_tiff(tmp_path / "short.tiff", frames)
    result = run(tmp_path, tmp_path / "out", "short.tiff")
    assert any(says in warning.text for warning in result.warnings)
    if count == 2:
        moved = movie.truth.shifts_yx_px[5] - movie.truth.shifts_yx_px[0]
        assert (result.shifts_y_px[1], result.shifts_x_px[1]) == pytest.approx(moved, abs=0.3)
    else:
        image = mrcfile.read(result.file("micrograph"))
        assert np.count_nonzero(np.abs(image - frames[0]) > 0.01) < 20  # hot pixels alone


def test_frames_that_share_nothing_are_said(tmp_path):
    random = np.random.default_rng(0)
    write_tiff(tmp_path / "noise.tiff", [random.poisson(1, (128, 128)).astype(np.uint8) for _ in range(6)])
    result = run(tmp_path, tmp_path / "out", "noise.tiff")
    assert any("no common signal" in warning.text or "faint movie" in warning.text for warning in result.warnings)


def test_other_voltages_are_interpolated_and_that_is_said(folder, tmp_path):
    result = run(folder, tmp_path, "corrected.mrc", voltage_kv=250.0)
    assert any("250 kV" in warning.text for warning in result.warnings)
    weighting = json.loads(result.file("results").read_text())["micrograph"]["dose_weighting"]
    assert weighting["critical_dose_scale"] == pytest.approx(0.9)
    assert weighting["critical_dose_scale_interpolated"] is True


def test_values_beyond_float16_are_said(tmp_path):
    random = np.random.default_rng(0)
    write_tiff(tmp_path / "bright.tiff", [random.poisson(60000, (64, 64)).astype(np.uint16) for _ in range(4)])
    result = run(tmp_path, tmp_path / "out", "bright.tiff")
    assert any("beyond float16's range: bright.mrc" in warning.text for warning in result.warnings)
    assert mrcfile.read(result.file("micrograph")).dtype == np.float32


@pytest.mark.parametrize(
    ("missing", "flags"),
    [
        ("dose_per_frame_e_per_a2", ("--dose-per-frame", "--total-dose", "--no-dose-weighting")),
        ("pixel_size_angstrom", ("--pixel-size",)),
    ],
)
def test_what_must_be_known_is_asked_for_by_its_flag(folder, tmp_path, missing, flags):
    with pytest.raises(AcquisitionUnknown) as refused:
        run(folder, tmp_path / "out", "corrected.mrc", **{missing: None})
    for flag in flags:
        assert flag in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_without_weighting_no_dose_is_needed(folder, tmp_path):
    settings = replace(PLAIN, dose_weighting=False)
    result = run(folder, tmp_path, "corrected.mrc", settings, dose_per_frame_e_per_a2=None, voltage_kv=None)
    assert result.figures["motion_early_angstrom"] == 0
    assert any("dose is unknown" in warning.text for warning in result.warnings)
    assert json.loads(result.file("results").read_text())["micrograph"]["dose_weighting"] is None


def test_a_movie_is_never_written_over(folder, movie, tmp_path):
    movie.write(tmp_path / "a.mrc")
    before = (tmp_path / "a.mrc").read_bytes()
    with pytest.raises(OutputRefused, match="would replace it"):
        run(tmp_path, tmp_path, "a.mrc")
    assert (tmp_path / "a.mrc").read_bytes() == before


def test_a_truncated_movie_leaves_nothing_behind(folder, tmp_path):
    whole = (folder / "tiff.tiff").read_bytes()
    (tmp_path / "cut.tiff").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableMovie):
        run(tmp_path, tmp_path / "out", "cut.tiff")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(folder, tmp_path, device):
    with pytest.raises(DeviceError) as refused:
        run(folder, tmp_path, "corrected.mrc", replace(PLAIN, device=device))
    assert refused.value.hint


def test_progress_tells_every_stage_from_start_to_end(folder, tmp_path):
    told: list[tuple[str, float]] = []
    process_movie(
        folder / "corrected.mrc",
        tmp_path,
        settings=PLAIN,
        acquisition=EXPOSURE,
        progress=lambda stage, fraction: told.append((stage, fraction)),
    )
    assert [stage for stage, fraction in told if fraction == 0] == ["read", "align", "sum", "ctf", "write"]
    assert told[-1] == ("write", 1.0)
    read = [fraction for stage, fraction in told if stage == "read"]
    assert read == sorted(read)
    assert len(read) > 10


@pytest.mark.parametrize("shape", [(257, 319), (255, 321), (258, 322)])
def test_odd_sizes_are_binned_by_exactly_the_factor(tmp_path, shape):
    """A grating keeps its period, which would grow were rows that make no whole pixel squeezed in."""
    x = np.arange(shape[1])
    expected = (100 + 50 * np.cos(2 * np.pi * x / 20)) * np.ones((shape[0], 1))
    write_mrc(tmp_path / "m.mrc", [np.random.default_rng(1).poisson(expected).astype(np.uint8)], frame_count=1, mode=0)
    settings = replace(PLAIN, bin_factor=2, float32=True, dose_weighting=False)
    result = run(tmp_path, tmp_path / "out", "m.mrc", settings)
    image = mrcfile.read(result.file("micrograph"))
    assert image.shape == (shape[0] // 4 * 2, shape[1] // 4 * 2)
    inner = image[20:-20, 20:-20].mean(0)
    places = np.arange(20, 20 + inner.size)
    phases = np.angle(np.convolve(inner - inner.mean(), np.exp(-2j * np.pi * np.arange(10) / 10), "valid"))
    drift = np.unwrap(phases + 2 * np.pi * places[: phases.size] / 10)  # the convolution runs backwards
    assert np.ptp(drift) < 0.05


def test_frames_without_any_noise_are_no_error(tmp_path):
    """Frames that are all the same, as simulations without noise are: nothing to divide by, nothing moved."""
    smooth = scipy.ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(256, 256)), 4)
    write_mrc(tmp_path / "same.mrc", [(100 + 50 * smooth).astype(np.float32)] * 6, frame_count=6, mode=2)
    result = run(tmp_path, tmp_path / "out", "same.mrc", PLAIN)
    assert np.abs([result.shifts_y_px, result.shifts_x_px]).max() < 0.01
