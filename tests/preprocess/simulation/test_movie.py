"""Simulated movies move as their truth says, look like micrographs, and are the same every time."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.fft

from preprocess.movies import open_movie
from preprocess.settings import EerSettings
from preprocess.simulation import SimulationSettings, simulate_movie

SMALL = {"height": 160, "width": 192, "frame_count": 5, "seed": 4}


def measured_shift(moved, still):
    """Return by how much content moved (y, x), where their cross-correlation is highest."""
    cross = scipy.fft.rfft2(moved - moved.mean()) * np.conj(scipy.fft.rfft2(still - still.mean()))
    ky = np.fft.fftfreq(moved.shape[0])[:, None]
    kx = np.fft.rfftfreq(moved.shape[1])[None, :]
    cross *= np.exp(-((ky**2 + kx**2) / (2 * 0.12**2)))
    return _peak(cross, ky, kx)


def _peak(cross, ky, kx):
    best, step = np.zeros(2), 4.0
    steps = np.arange(-3, 4)
    while step > 0.01:
        places = [best + step * np.array([y, x]) for y in steps for x in steps]
        values = [np.sum((cross * np.exp(2j * np.pi * (ky * y + kx * x))).real) for y, x in places]
        best, step = places[int(np.argmax(values))], step / 2.5
    return best


def test_equal_settings_give_equal_movies_and_seeds_differ():
    first, again = (simulate_movie(SimulationSettings(**SMALL)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.frames(), again.frames(), strict=True))
    assert np.array_equal(first.frame(3), list(again.frames())[3])  # any one of them, in any order
    other = simulate_movie(SimulationSettings(**SMALL | {"seed": 5}))
    assert not np.array_equal(first.frame(0), other.frame(0))
    assert np.array_equal(first.gain, other.gain)  # one camera


def test_content_moves_as_the_truth_says():
    movie = simulate_movie(SimulationSettings(**SMALL, motion_px=9.0, jitter_px=0.5))
    still = movie.expected(0)
    assert np.array_equal(movie.truth.shifts_yx_px[0], [0, 0])
    for index in (1, 2, 4):
        moved = movie.expected(index)
        np.testing.assert_allclose(measured_shift(moved, still), movie.truth.shifts_yx_px[index], atol=0.1)


def test_a_given_trajectory_is_followed_exactly():
    given = ((5.0, 1.0), (8.0, -2.0), (5.0, 1.0))
    settings = SimulationSettings(height=128, width=128, frame_count=3, shifts_yx_px=given, gain=False)
    movie = simulate_movie(settings)
    np.testing.assert_array_equal(movie.truth.shifts_yx_px, [[0, 0], [3, -3], [0, 0]])
    # Whole pixels: the same content at another place, but for three frames' radiation damage.
    a, b = movie.expected(0)[:-3, 3:], movie.expected(1)[3:, :-3]
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
    assert np.corrcoef(movie.expected(0)[3:, :-3].ravel(), a.ravel())[0, 1] < 0.9


def test_content_comes_in_from_outside_the_view():
    movie = simulate_movie(SimulationSettings(**SMALL, motion_px=20.0, jitter_px=0.0))
    dy, dx = np.round(movie.truth.shifts_yx_px[-1]).astype(int)
    wrapped = np.roll(movie.expected(0), (dy, dx), axis=(0, 1))
    came_in = np.ones(wrapped.shape, bool)
    came_in[max(dy, 0) : 160 + min(dy, 0), max(dx, 0) : 192 + min(dx, 0)] = False
    last = movie.expected(4)
    assert np.corrcoef(wrapped[~came_in], last[~came_in])[0, 1] > 0.8
    assert np.corrcoef(wrapped[came_in], last[came_in])[0, 1] < 0.5


def test_local_motion_differs_from_place_to_place_as_the_truth_says():
    settings = SimulationSettings(height=384, width=384, frame_count=3, local_motion_px=2.0, jitter_px=0.0, seed=2)
    movie = simulate_movie(settings)
    still, moved = movie.expected(0), movie.expected(2)
    for top, left in ((0, 0), (0, 256), (256, 0), (256, 256), (128, 128)):
        here = np.s_[top : top + 128, left : left + 128]
        true = movie.truth.displacement(2, top + 63.5, left + 63.5)
        window = np.outer(np.hanning(128), np.hanning(128))
        ours = measured_shift((moved[here] - moved.mean()) * window, (still[here] - still.mean()) * window)
        np.testing.assert_allclose(ours, true, atol=0.6)
    y, x = np.mgrid[:384:8, :384:8]
    local = np.stack(movie.truth.displacement(2, y, x)) - movie.truth.shifts_yx_px[2][:, None, None]
    assert np.sqrt((local**2).mean()) == pytest.approx(2.0, rel=0.05)
    assert np.abs(local.mean(axis=(1, 2))).max() < 0.2


def test_local_and_whole_frame_rendering_agree():
    whole = simulate_movie(SimulationSettings(**SMALL))
    warped = simulate_movie(SimulationSettings(**SMALL, local_motion_px=1e-6))
    difference = warped.expected(3) - whole.expected(3)
    assert np.sqrt((difference**2).mean()) < 0.05 * whole.expected(3).std()  # a spline's loss near Nyquist


def test_dose_and_contrast():
    movie = simulate_movie(
        SimulationSettings(**SMALL, dose_per_frame_e_per_a2=2.0, pixel_size_angstrom=0.8, gain=False)
    )
    expected = movie.expected(0)
    assert movie.settings.electrons_per_px_per_frame == pytest.approx(1.28)
    assert expected.mean() == pytest.approx(1.28, rel=0.02)
    assert movie.frame(0).mean() == pytest.approx(1.28, rel=0.03)
    assert 0.06 < expected.std() / expected.mean() < 0.13  # damage of half a frame's dose is in it


def test_dose_damps_fine_detail_more_than_coarse():
    movie = simulate_movie(SimulationSettings(height=256, width=256, frame_count=40, dose_per_frame_e_per_a2=1.5))
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :]) / 1.1
    early, late = (np.abs(scipy.fft.rfft2(movie.expected(index))) for index in (0, 39))

    def left(low, high):
        band = (k > low) & (k < high)
        return late[band].mean() / early[band].mean()

    assert left(0.01, 0.03) > 0.5
    assert left(0.2, 0.25) < 0.05


def test_gain_and_dead_and_hot_pixels():
    movie = simulate_movie(SimulationSettings(**SMALL, dead_pixels_per_million=300, hot_pixels_per_million=300))
    dead, hot = movie.detector.dead_pixels, movie.detector.hot_pixels
    assert (dead.size, hot.size) == (9, 9)
    frames = np.stack(list(movie.frames())).reshape(5, -1)
    assert not frames[:, dead].any()
    assert frames[:, hot].min() > 15
    assert not movie.gain.reshape(-1)[dead].any()
    assert np.delete(movie.gain.reshape(-1), dead).min() > 0.5
    for turned in (movie.gain[::-1], movie.gain[:, ::-1], movie.gain[::-1, ::-1]):
        assert np.corrcoef(turned.ravel(), movie.gain.ravel())[0, 1] < 0.5


def test_the_gain_flattens_what_the_camera_records():
    movie = simulate_movie(SimulationSettings(**SMALL | {"frame_count": 60}, contrast=1e-6, hot_pixels_per_million=0))
    total = sum(frame.astype(np.float64) for frame in movie.frames())
    sensitivity = np.where(movie.gain > 0, 1 / np.maximum(movie.gain, 1e-6), 0)
    assert np.corrcoef(total.ravel(), sensitivity.ravel())[0, 1] > 0.3
    flat = np.corrcoef((total * movie.gain)[movie.gain > 0], sensitivity[movie.gain > 0])[0, 1]
    assert abs(flat) < 0.05


def test_a_camera_without_gain_has_none(tmp_path):
    movie = simulate_movie(SimulationSettings(**SMALL, gain=False))
    assert movie.gain is None
    with pytest.raises(ValueError, match="no gain"):
        movie.write_gain(tmp_path / "g.mrc", movie_format="tiff")


@pytest.mark.parametrize("name", ["a.tiff", "a.mrcs", "a.eer"])
def test_written_and_read_back(tmp_path, name):
    movie = simulate_movie(SimulationSettings(**SMALL, hot_pixels_per_million=0))
    movie.write(tmp_path / name)
    opened = open_movie(tmp_path / name, EerSettings(hardware_frames_per_frame=8))
    assert opened.header_pixel_size_angstrom == pytest.approx(1.1)
    # 8 hardware frames hold 8 electrons of a pixel at most.
    assert all(
        np.array_equal(np.minimum(a, 8), np.minimum(b, 8)) for a, b in zip(opened.frames(), movie.frames(), strict=True)
    )


def test_an_unknown_extension_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.png"):
        simulate_movie(SimulationSettings(**SMALL)).write(tmp_path / "a.png")


def test_the_truth_as_json(tmp_path):
    movie = simulate_movie(SimulationSettings(**SMALL, local_motion_px=1.0))
    movie.write_truth(tmp_path / "truth.json")
    truth = json.loads((tmp_path / "truth.json").read_text())
    np.testing.assert_allclose(truth["shifts_yx_px"], movie.truth.shifts_yx_px, atol=1e-6)
    assert np.shape(truth["local_coefficients_yx_px"]) == (5, 2, len(truth["local_basis"])) == (5, 2, 5)
    assert truth["settings"]["dose_per_frame_e_per_a2"] == 0.83
    assert truth["electrons_per_px_per_frame"] == pytest.approx(1.0, rel=0.01)
    movie.write_truth(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "truth.json").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [{"height": 8}, {"frame_count": 0}, {"pixel_size_angstrom": 0}, {"shifts_yx_px": ((0, 0),)}],
    ids=str,
)
def test_settings_that_make_no_movie(wrong):
    with pytest.raises(ValueError):
        SimulationSettings(**SMALL | wrong)
