"""The powers of a fixed and a moving part, found again in spectra that were drawn with them."""

from dataclasses import replace

import numpy as np
import pytest

from preprocess.alignment.part_powers import first_powers, fitted_powers, unbiased_share, unknown_powers
from preprocess.backends.contract import RING_COUNT
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.cpu.spectra import CpuSpectra

SIDE, COUNT, NOISE = 256, 10, 100.0


def drawn(random: np.random.Generator, fixed: float, moving: float, shifts: np.ndarray) -> CpuSpectra:
    def normal(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) + 1j * random.normal(size=shape)) / np.sqrt(2)

    half = SIDE // 2 + 1
    ky, kx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)
    phases = np.exp(-2j * np.pi * (shifts[:, :1, None] * ky + shifts[:, 1:, None] * kx))
    parts = np.sqrt(fixed) * normal(SIDE, half) + np.sqrt(moving) * normal(SIDE, half) * phases
    transforms = parts + np.sqrt(NOISE) * normal(COUNT, SIDE, half)
    return CpuSpectra(transforms.astype(np.complex64), (SIDE, SIDE), RowThreads(1))


@pytest.mark.parametrize(("fixed", "moving"), [(30.0, 60.0), (200.0, 40.0), (0.0, 50.0), (50.0, 0.0)])
def test_powers_are_found_again(fixed, moving):
    random = np.random.default_rng(4)
    shifts = 6 * np.exp(-np.arange(COUNT) / 1.5)[:, None] * [1.0, -0.6]  # later frames hardly move
    measures = drawn(random, fixed, moving, shifts).split(shifts, np.ones(COUNT), unknown_powers())
    powers = fitted_powers(measures, first_powers(measures, COUNT), COUNT)
    upper = slice(RING_COUNT // 4, None)
    assert np.median(powers.fixed[upper]) == pytest.approx(fixed, abs=0.1 * fixed + 3)
    if fixed == 0:
        assert np.median(powers.fixed[upper]) < 0.03 * moving
    if moving == 0:
        assert np.median(powers.moving[upper]) < 0.03 * fixed
        assert np.median(powers.noise[upper]) == pytest.approx(NOISE, rel=0.05)


def test_where_nothing_moved_both_parts_get_half():
    random = np.random.default_rng(4)
    shifts = np.zeros((COUNT, 2))
    measures = drawn(random, 40.0, 40.0, shifts).split(shifts, np.ones(COUNT), unknown_powers())
    powers = fitted_powers(measures, first_powers(measures, COUNT), COUNT)
    np.testing.assert_allclose(powers.fixed, powers.moving)
    assert np.median(powers.fixed + powers.moving) == pytest.approx(80, rel=0.1)


def test_frames_do_not_correlate_at_zero_shift_once_the_unbiased_share_is_gone():
    random = np.random.default_rng(4)
    shifts = random.normal(0, 30, (COUNT, 2))
    spectra = drawn(random, 5.0, 0.0, shifts)
    measures = spectra.split(shifts, np.ones(COUNT), unknown_powers())
    noise_known = replace(first_powers(measures, COUNT), noise=np.full(RING_COUNT, NOISE))
    powers = fitted_powers(measures, noise_known, COUNT)
    share = unbiased_share(measures, powers, COUNT)

    def shared(taken: np.ndarray) -> float:
        spectra.split(shifts, np.ones(COUNT), replace(powers, taken=taken), take_off=True)
        of_sum, of_frames = spectra.ring_powers(np.zeros((COUNT, 2)))
        return float((of_sum - of_frames)[RING_COUNT // 4 :].sum())

    before, unbiased, whole = (shared(taken) for taken in (np.zeros(RING_COUNT), share, np.ones(RING_COUNT)))
    assert abs(unbiased) < 0.1 * before
    assert whole < -0.15 * before
