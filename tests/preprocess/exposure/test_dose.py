import numpy as np
import pytest

from preprocess.exposure.dose import (
    FREQUENCY_COUNT,
    TOLERANCE,
    critical_dose,
    critical_dose_scale,
    dose_weights,
    low_rank_weights,
    plain_weights,
)


@pytest.mark.parametrize(
    ("voltage", "scale", "interpolated"),
    [(300, 1.0, False), (200, 0.8, False), (100, 0.64, False), (250, 0.9, True), (120, 0.672, True)],
)
def test_critical_dose_scales_with_voltage_as_relion_scales_it(voltage, scale, interpolated):
    found, said = critical_dose_scale(voltage)
    assert found == pytest.approx(scale)
    assert said is interpolated


def test_critical_dose_is_grant_and_grigorieff_s():
    assert critical_dose(np.array([0.1, 0.2]), 300.0) == pytest.approx([0.245 * 0.1**-1.665 + 2.81, 6.382], rel=1e-3)


def test_weights_are_normalised_and_fall_with_dose():
    frequency = np.array([0.0, 0.05, 0.3])
    weights = dose_weights(np.array([5.0, 10.0, 40.0]), frequency, 300.0)
    assert (weights**2).sum(0) == pytest.approx(np.ones(3))
    assert weights[:, 0] == pytest.approx(np.full(3, 3**-0.5))
    assert (np.diff(weights[:, 2]) < 0).all()
    ratio = np.exp(-(10 - 5) / (2 * critical_dose(np.array([0.3]), 300.0)[0]))
    assert weights[1, 2] / weights[0, 2] == pytest.approx(ratio)


@pytest.mark.parametrize("pixel_size", [0.4, 0.83, 2.2])
@pytest.mark.parametrize(
    ("frames", "total", "before", "voltage"), [(1, 1, 0, 300), (8, 30, 0, 200), (40, 50, 2, 300), (100, 100, 20, 100)]
)
def test_few_sums_reproduce_the_whole_weight_matrix(frames, total, before, voltage, pixel_size):
    doses = before + total / frames * np.arange(1, frames + 1)
    low_rank = low_rank_weights(doses, pixel_size, voltage)
    frequency = np.linspace(0, np.sqrt(0.5), FREQUENCY_COUNT) / pixel_size
    full = dose_weights(doses, frequency, voltage)
    rebuilt = low_rank.frame_weights.astype(np.float64).T @ low_rank.filters
    error = np.abs(rebuilt - full).max() / full.max()
    assert error <= TOLERANCE
    assert error == pytest.approx(low_rank.largest_error, abs=1e-6)
    assert len(low_rank.frame_weights) <= 8


def test_extreme_doses_neither_underflow_nor_divide_by_zero():
    weights = low_rank_weights(np.array([20000.0, 20001.0, 20002.0]), 0.5, 100.0)
    assert np.isfinite(weights.filters).all()
    assert np.isfinite(weights.frame_weights).all()


def test_a_plain_sum_counts_every_frame_once():
    plain = plain_weights(5)
    assert (plain.frame_weights.T @ plain.filters == 1).all()
