"""What the CTF is estimated from: the plain sum, whatever the weights are, with white noise."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.spectrum import BlockSpectra, block_spectra
from preprocess.exposure.dose import DoseWeights, low_rank_weights, plain_weights
from preprocess.geometry.field import DisplacementField
from preprocess.pipeline.ctf_input import CtfInput, frame_groups, plain_factors

FRAMES, SIDE, PIXEL = 6, 384, 1.5
WEIGHTS = low_rank_weights(np.arange(1.0, FRAMES + 1) * 4, PIXEL, 300.0)
NONE = np.zeros((0, FRAMES), np.float32)


@pytest.mark.parametrize(
    "weights",
    [
        plain_weights(5),
        low_rank_weights(np.arange(1, 25) * 0.83, 1.1, 300.0),
        low_rank_weights(np.arange(1, 51) * 1.0, 1.06, 200.0),
        low_rank_weights(90 + np.arange(1, 11) * 0.3, 2.0, 300.0),
        low_rank_weights(np.arange(1, 501) * 0.1, 0.5, 100.0),
    ],
    ids=["plain", "24 frames", "50 frames", "a late tilt", "500 frames"],
)
def test_each_frame_counts_once_in_the_plain_sum(weights: DoseWeights) -> None:
    counted = weights.frame_weights.T @ plain_factors(weights)
    np.testing.assert_allclose(counted, 1, atol=0.003)


def test_groups_have_every_frame_once_and_about_equal_doses() -> None:
    groups = frame_groups(np.full(40, 1.2), 10.0)
    assert len(groups) == 5
    np.testing.assert_array_equal(groups.sum(0), 1)
    np.testing.assert_array_equal(groups.sum(1), 8)
    unequal = frame_groups(np.array([8.0, 1, 1, 1, 1, 4, 4]), 5.0)
    assert [np.flatnonzero(group).tolist() for group in unequal] == [[0], [1, 2], [3, 4, 5], [6]]
    assert frame_groups(np.full(3, 1.0), 10.0).tolist() == [[1, 1, 1]]
    assert len(frame_groups(np.full(3, 50.0), 10.0)) == 3


def spectra_of(frames: np.ndarray, field: DisplacementField, weights: DoseWeights, groups: np.ndarray) -> BlockSpectra:
    backend = CpuBackend(2)
    stack = backend.hold(*frames.shape, frames.dtype)
    for number, frame in enumerate(frames):
        stack.put(number, frame)
    warped = list(stack.warped_sums(field, np.concatenate([weights.frame_weights, groups])))
    rank = len(weights.frame_weights)
    return CtfInput(PIXEL, groups).spectra(warped[:rank], weights, warped[rank:], field, backend)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(40, 6, (FRAMES, SIDE, SIDE)).astype(np.float32)


def test_the_spectrum_is_the_plain_sum_s(noise: np.ndarray) -> None:
    still = DisplacementField.whole_frame(np.zeros((FRAMES, 2)))
    expected = block_spectra(noise.sum(0), PIXEL, CpuBackend(1))
    found = spectra_of(noise, still, WEIGHTS, NONE)
    np.testing.assert_allclose(found.powers, expected.powers, rtol=0.02, atol=0.02)
    np.testing.assert_array_equal(found.tile_counts, expected.tile_counts)
    weighted = spectra_of(noise, still, plain_weights(FRAMES), NONE)
    np.testing.assert_allclose(weighted.powers, expected.powers, rtol=1e-5, atol=1e-5)


def test_moved_noise_stays_white(noise: np.ndarray) -> None:
    moves = DisplacementField.whole_frame(np.column_stack([np.arange(FRAMES) * 3 + 0.5, np.zeros(FRAMES)]))
    for groups in (NONE, np.repeat(np.eye(2, dtype=np.float32), 3, 1)):
        mean = spectra_of(noise, moves, WEIGHTS, groups).mean()
        radius = mean.shape[1] - 1
        low = mean[radius - 60 : radius + 61, 5:60].mean()
        fine = slice(radius + 85, radius + 100)  # to 0.39 per px, where half a pixel's interpolation keeps a third
        assert mean[fine, 5:60].mean() == pytest.approx(low, rel=0.05)
        assert mean[radius - 60 : radius + 61, 85:100].mean() == pytest.approx(low, rel=0.05)


def test_groups_average_spectra_tile_by_tile(noise: np.ndarray) -> None:
    still = DisplacementField.whole_frame(np.zeros((FRAMES, 2)))
    groups = np.repeat(np.eye(3, dtype=np.float32), 2, 1)
    together = spectra_of(noise, still, WEIGHTS, groups)
    alone = [block_spectra(noise[first : first + 2].sum(0), PIXEL, CpuBackend(1)) for first in (0, 2, 4)]
    assert together.tile_count == sum(each.tile_count for each in alone)
    np.testing.assert_allclose(together.mean(), np.mean([each.mean() for each in alone], 0), rtol=1e-4)
    np.testing.assert_allclose(together.centres_angstrom, alone[0].centres_angstrom)
