"""Windows of correlations by matrix products, against an inverse transform of whole frames."""

import numpy as np
import pytest

from preprocess.backends.contract import RING_COUNT
from preprocess.backends.cpu.correlation_windows import CorrelationWindows
from preprocess.backends.spectrum_layout import LEAST_WEIGHT, ring_indices


@pytest.mark.parametrize("shape", [(64, 80), (63, 81), (40, 200)])
@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.parametrize("b_factor", [0.0, 40.0])
def test_windows_are_those_of_the_inverse_transform(shape: tuple[int, int], shrink: int, b_factor: float) -> None:
    random = np.random.default_rng(3)
    frame, others = random.normal(0, 1, (2, *shape))
    transform, of_others = (np.fft.rfft2(image).astype(np.complex64) for image in (frame, others))
    shift = np.array([1.3, -0.7])
    row_phases = np.exp(2j * np.pi * shift[0] * np.fft.fftfreq(shape[0])).astype(np.complex64)
    column_phases = np.exp(2j * np.pi * shift[1] * np.fft.rfftfreq(shape[1])).astype(np.complex64)
    weights = np.exp(-b_factor * ((np.arange(RING_COUNT) + 0.5) / (2 * RING_COUNT)) ** 2)
    rings = ring_indices(shape)
    box = (2 * (shape[0] // (2 * shrink)), 2 * (shape[1] // (2 * shrink)))
    aligned = transform * row_phases[:, None] * column_phases

    windows = CorrelationWindows.of(rings, shape, weights, box, 6)
    found = windows.window(transform, of_others + aligned, row_phases, column_phases)

    kept = np.where(weights >= LEAST_WEIGHT * weights.max(), weights, 0.0)
    product = np.append(kept, 0.0)[rings] * aligned * of_others.conj()
    half = box[0] // 2
    rows = np.r_[0 : half + 1, shape[0] - (box[0] - half - 1) : shape[0]]
    surface = np.fft.irfft2(product[rows, : box[1] // 2 + 1], s=box)
    places = np.arange(-6, 7)
    expected = surface[np.ix_(places % box[0], places % box[1])]
    np.testing.assert_allclose(found, expected, atol=3e-5 * np.abs(surface).max())


def test_weights_that_are_all_zero_give_a_window_of_zeros() -> None:
    shape = (32, 32)
    transform = np.ones((32, 17), np.complex64)
    windows = CorrelationWindows.of(ring_indices(shape), shape, np.zeros(RING_COUNT), shape, 4)
    phases = np.ones(32, np.complex64)
    assert not windows.window(transform, 2 * transform, phases, phases[:17]).any()
