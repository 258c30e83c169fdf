"""Images whose spectrum is the same in every sector without being a CTF, and faint ones that have one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.spectrum import block_spectra
from preprocess.settings import CtfSettings

SIDE = 1024


def estimate(image: np.ndarray, optics) -> CtfEstimate:
    return estimate_ctf(block_spectra(image, optics.pixel_size_angstrom, CpuBackend(2)), optics, CtfSettings(), 2)


def noise_with(power: Callable[[np.ndarray], np.ndarray], pixel: float, seed: int = 3) -> np.ndarray:
    """Return noise of this power at each spatial frequency, 1/Å."""
    white = scipy.fft.rfft2(np.random.default_rng(seed).standard_normal((SIDE, SIDE)))
    k = np.hypot(np.fft.fftfreq(SIDE, pixel)[:, None], np.fft.rfftfreq(SIDE, pixel)[None])
    return scipy.fft.irfft2(white * np.sqrt(power(k))).astype(np.float32) * 5 + 100


def hexagonal_ice(k: np.ndarray) -> np.ndarray:
    return 1 + 3 * sum(np.exp(-0.5 * ((k - 1 / spacing) / 0.0025) ** 2) for spacing in (3.90, 3.67, 3.44))


def resampled(k: np.ndarray) -> np.ndarray:
    return np.where(k < 0.31, 1.0, 0.05)


def banded(k: np.ndarray) -> np.ndarray:
    return 1 + 0.3 * np.cos(2 * np.pi * k * 20)


def water_ring(k: np.ndarray) -> np.ndarray:
    return 1 + 0.8 * np.exp(-0.5 * ((k - 1 / 3.72) / 0.012) ** 2)


@pytest.mark.parametrize("power", [hexagonal_ice, resampled, banded, water_ring])
def test_what_is_no_ctf_is_not_reliable_though_it_is_significant(power, optics) -> None:
    found = estimate(noise_with(power, optics.pixel_size_angstrom), optics)
    assert found.significance > 5
    assert not found.reliable
    assert found.reason


def test_the_edge_of_a_foil_is_not_reliable(optics) -> None:
    image = noise_with(np.ones_like, optics.pixel_size_angstrom)
    y, x = np.mgrid[:SIDE, :SIDE]
    image[0.8 * y + 0.6 * x > 700] *= 0.2
    assert not estimate(image, optics).reliable


@pytest.mark.parametrize("seed", range(4))
def test_rings_that_are_hardly_seen_are_reliable(micrograph, optics, seed) -> None:
    found = estimate(micrograph(16_000, 15_600, 40, strength=0.25, seed=seed), optics)
    assert 6 < found.significance < 16
    assert found.reliable, found.reason
    assert found.mean_defocus_angstrom == pytest.approx(15_800, abs=5 * found.sigma_angstrom)


@pytest.mark.parametrize("seed", range(3))
def test_where_the_defocus_is_guessed_another_is_named(micrograph, optics, seed) -> None:
    found = estimate(micrograph(16_000, 15_600, 40, strength=0.02, seed=seed), optics)
    assert not found.reliable
    assert found.margin < 8


def test_an_overfocused_image_is_not_reliable(micrograph, optics) -> None:
    found = estimate(micrograph(-11_900, -12_100, 20, strength=4), optics)
    assert not found.reliable
