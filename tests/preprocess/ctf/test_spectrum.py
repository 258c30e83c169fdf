"""Spectra of an image's blocks: scale, places, and what does not count."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.spectrum import TILES_FOR_INDEPENDENT, block_spectra


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((height, width)).astype(np.float32) * 2 + 100


def test_white_noise_has_power_1_a_tile_up_to_2_8_angstrom() -> None:
    spectra = block_spectra(noise(1536, 2048), 1.1, CpuBackend(2))
    assert spectra.tile_count == spectra.tiles_laid == 2 * 3
    radius = spectra.radius
    assert spectra.powers.shape == (9, 2 * radius + 1, radius + 1)
    assert radius * spectra.frequency_step == pytest.approx(1 / 2.8, abs=2 * spectra.frequency_step)
    assert spectra.mean()[radius + 5 :, 5:].mean() == pytest.approx(1, abs=0.01)
    assert spectra.variance == pytest.approx(4, rel=0.02)


def test_blocks_lie_row_by_row_and_say_where() -> None:
    image = noise(1200, 1200)
    y, x = np.mgrid[:1200, :1200]
    image += np.where((y < 300) & (x > 900), 3 * np.cos(2 * np.pi * 0.25 * x), 0).astype(np.float32)
    spectra = block_spectra(image, 3.0, CpuBackend(2))
    line = round(0.25 / 3 / spectra.frequency_step)
    strength = spectra.powers[:, spectra.radius, line] / np.maximum(spectra.tile_counts, 1)
    assert strength.argmax() == 2
    assert spectra.centres_angstrom[2, 0] < -300 * 3 / 2
    assert spectra.centres_angstrom[2, 1] > 300 * 3 / 2
    assert spectra.centres_angstrom[4] == pytest.approx([0, 0], abs=2)


def test_a_wave_along_y_lies_in_its_own_row() -> None:
    y, x = np.mgrid[:1024, :1024]
    wave = np.cos(2 * np.pi * (0.1 * x + 0.2 * y)).astype(np.float32)
    spectra = block_spectra(noise(1024, 1024) + wave, 1.0, CpuBackend(1))
    row, column = np.unravel_index(spectra.mean().argmax(), spectra.mean().shape)
    assert (row - spectra.radius) * spectra.frequency_step == pytest.approx(0.2, abs=1e-3)
    assert column * spectra.frequency_step == pytest.approx(0.1, abs=1e-3)


def test_small_pixels_are_binned() -> None:
    fine = block_spectra(noise(2048, 2048), 0.55, CpuBackend(2))
    assert fine.frequency_step == pytest.approx(1 / (512 * 1.1))
    assert fine.mean()[fine.radius + 5 :, 5:].mean() == pytest.approx(1, abs=0.01)


def test_dark_and_saturated_places_do_not_count() -> None:
    image = noise(2048, 2048)
    image[:, :1024] = 0
    spectra = block_spectra(image, 1.0, CpuBackend(2))
    assert 0 < spectra.tile_count < spectra.tiles_laid
    assert not spectra.tile_counts[[0, 3, 6]].any()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads) -> None:
    image = noise(1100, 1500)
    image[3, 5] = np.nan
    spectra = block_spectra(image, 1.3, CpuBackend(threads))
    assert np.isfinite(spectra.powers).all()
    np.testing.assert_array_equal(spectra.powers, block_spectra(image, 1.3, CpuBackend(1)).powers)


def test_effective_counts_are_those_of_the_noise() -> None:
    random = np.random.default_rng(8)
    means = []
    for _ in range(60):
        image = random.standard_normal((400, 640)).astype(np.float32)
        spectra = block_spectra(image, 4.4, CpuBackend(1))
        third = spectra.radius // 3
        few = slice(spectra.radius + 5, spectra.radius + 5 + third), slice(5, 5 + third)  # tiles have variance 1
        powers = np.concatenate([spectra.powers, spectra.powers.sum(0)[None]])[:, *few]
        counts = np.append(spectra.tile_counts, spectra.tile_count)
        means.append(powers.mean((1, 2)) / np.maximum(counts, 1))
    variance = np.var(means, axis=0) * powers[0].size
    expected = TILES_FOR_INDEPENDENT / np.append(spectra.effective_counts, spectra.effective_count)
    used = counts > 0
    assert used.sum() > 4
    assert np.median(variance[used] / expected[used]) == pytest.approx(1, abs=0.2)
