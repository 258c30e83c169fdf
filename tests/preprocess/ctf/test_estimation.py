"""From an image to its CTF: truth, signs and angles, and images of which nothing can be known."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.spectrum import block_spectra
from preprocess.errors import CtfImpossible
from preprocess.settings import CtfSettings

U, V, ANGLE = 12_400.0, 11_800.0, 25.0


def estimate(image: np.ndarray, optics, threads: int = 2, **settings) -> CtfEstimate:
    spectra = block_spectra(image, optics.pixel_size_angstrom, CpuBackend(threads))
    return estimate_ctf(spectra, optics, CtfSettings(**settings), threads)


@pytest.fixture(scope="module")
def image(micrograph) -> np.ndarray:
    return micrograph(U, V, ANGLE)


def turned_by(one: float, other: float) -> float:
    """Return by how many degrees two axes differ."""
    return (one - other + 90) % 180 - 90


def test_defocus_astigmatism_and_angle_come_back(image, optics) -> None:
    found = estimate(image, optics)
    assert found.reliable, found.reason
    assert found.reason == ""
    assert found.defocus_u_angstrom == pytest.approx(U, abs=30)
    assert found.defocus_v_angstrom == pytest.approx(V, abs=30)
    assert abs(turned_by(found.angle_degrees, ANGLE)) < 3
    assert abs(found.mean_defocus_angstrom - (U + V) / 2) < 4 * found.sigma_angstrom
    assert found.fit_resolution_angstrom < 4
    assert found.score > 0.5
    assert found.tilt_degrees is None
    assert found.thickness_angstrom is None


def test_a_flip_turns_the_sign_of_the_angle_and_a_quarter_turn_adds_90_degrees(image, optics) -> None:
    for flipped in (image[::-1], image[:, ::-1]):
        found = estimate(np.ascontiguousarray(flipped), optics)
        assert abs(turned_by(found.angle_degrees, -ANGLE)) < 3
        assert found.defocus_u_angstrom == pytest.approx(U, abs=30)
    assert abs(turned_by(estimate(np.ascontiguousarray(image.T), optics).angle_degrees, 90 - ANGLE)) < 3


def test_profile_and_spectra_show_the_fit(image, optics) -> None:
    found = estimate(image, optics)
    profile = found.profile
    used = (profile.frequency_per_angstrom > 1 / 15) & (profile.frequency_per_angstrom < 1 / 4.5)
    assert np.corrcoef(profile.measured[used], profile.fitted[used])[0, 1] > 0.8
    assert np.corrcoef(profile.ctf_squared[used], profile.fitted[used])[0, 1] > 0.9
    for field in fields(profile):
        assert np.isfinite(getattr(profile, field.name)).all(), field.name
    rows, columns = found.measured_spectrum.shape
    assert rows == 2 * columns - 1
    assert found.fitted_spectrum.shape == (rows, columns)
    y, x = np.mgrid[-columns + 1 : columns, :columns] * found.frequency_step_per_angstrom
    inside = (np.hypot(y, x) > 1 / 15) & (np.hypot(y, x) < 1 / 6)
    assert np.corrcoef(found.measured_spectrum[inside], found.fitted_spectrum[inside])[0, 1] > 0.3


def test_threads_change_no_result(image, optics) -> None:
    one, three = estimate(image, optics, 1), estimate(image, optics, 3)
    for field in fields(CtfEstimate):
        if field.name not in {"profile", "ice"}:
            np.testing.assert_array_equal(getattr(one, field.name), getattr(three, field.name), err_msg=field.name)


def test_a_phase_shift_is_found_if_it_is_sought(micrograph, optics) -> None:
    found = estimate(micrograph(U, V, ANGLE, phase_degrees=70), optics, find_phase_shift=True)
    assert found.phase_shift_searched
    assert found.phase_shift_degrees == pytest.approx(70, abs=8)
    assert found.mean_defocus_angstrom == pytest.approx((U + V) / 2, abs=150)


@pytest.mark.parametrize(("slope", "axis"), [((0.5, 0.0), 0.0), ((0.0, 0.5), 90.0), ((0.4, -0.4), 45.0)])
def test_a_tilt_is_found(micrograph, optics, slope, axis) -> None:
    found = estimate(micrograph(15_000, 15_000, 0, slope=slope, strength=2), optics)
    assert found.tilt_degrees == pytest.approx(np.degrees(np.arctan(np.hypot(*slope))), abs=5)
    assert abs(turned_by(found.tilt_axis_degrees, axis)) < 8
    assert found.mean_defocus_angstrom == pytest.approx(15_000, abs=100)


def test_noise_alone_is_not_reliable_and_says_so(micrograph, optics) -> None:
    found = estimate(micrograph(U, V, ANGLE, strength=0), optics)
    assert not found.reliable
    assert "No rings" in found.reason


def test_a_defocus_beyond_the_range_is_not_reliable(image, optics) -> None:
    assert not estimate(image, optics, lowest_defocus_angstrom=14_000.0).reliable
    assert not estimate(image, optics, highest_defocus_angstrom=8_000.0).reliable


def test_small_and_coarse_images_are_estimated(micrograph, optics) -> None:
    found = estimate(micrograph(U, V, ANGLE, side=512, strength=3), optics)
    assert found.mean_defocus_angstrom == pytest.approx((U + V) / 2, rel=0.02)
    coarse = replace(optics, pixel_size_angstrom=3.0)
    assert not estimate(np.ascontiguousarray(micrograph(U, V, ANGLE, strength=0)), coarse).reliable


@pytest.mark.parametrize(
    ("spoil", "usable"),
    [
        (np.zeros_like, False),
        (lambda image: np.full_like(image, np.nan), False),
        (lambda image: np.full_like(image, 7.0), False),
        (lambda image: image[:40, :40], False),
        (lambda image: np.where(np.arange(1024)[:, None] < 100, np.nan, image), True),
        (lambda image: np.where(np.arange(1024)[:, None] < 100, np.inf, image), True),
        (lambda image: np.minimum(image, np.median(image)), True),
        (lambda image: np.where(np.arange(1024) % 300 == 7, 1e30, image), True),
    ],
    ids=["zeros", "nan", "constant", "tiny", "some nan", "some inf", "saturated", "huge lines"],
)
@pytest.mark.filterwarnings("error")
def test_spoilt_images_give_an_estimate_or_a_plain_error(image, optics, spoil, usable) -> None:
    spoilt = np.ascontiguousarray(spoil(image), np.float32)
    if not usable:
        with pytest.raises(CtfImpossible, match="image is"):
            estimate(spoilt, optics)
        return
    found = estimate(spoilt, optics)
    assert found.mean_defocus_angstrom == pytest.approx((U + V) / 2, rel=0.03)
    assert found.reliable, found.reason


def test_a_coarse_pixel_is_refused(image, optics) -> None:
    with pytest.raises(CtfImpossible, match="20 Å at best"):
        estimate(image, replace(optics, pixel_size_angstrom=10.0))


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_unit_of_the_pixels_changes_nothing(image, optics, factor) -> None:
    usual, found = estimate(image, optics), estimate(image * np.float32(factor), optics)
    assert found.mean_defocus_angstrom == pytest.approx(usual.mean_defocus_angstrom, abs=0.5)
    assert found.reliable
    assert found.profile.plain == pytest.approx(usual.profile.plain * factor**2, rel=1e-2)
