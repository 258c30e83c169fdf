import numpy as np

from preprocess.alignment.phase_overlap import DIRECTIONS, PhaseOverlap
from preprocess.backends.contract import RING_COUNT


def test_slopes_are_those_of_the_powers():
    random = np.random.default_rng(1)
    shifts, levels = random.normal(0, 1.5, (5, 2)), random.uniform(0.8, 1.2, 5)
    weights = random.uniform(0, 1, (RING_COUNT, DIRECTIONS))

    def value(shifts: np.ndarray) -> float:
        return float((weights * PhaseOverlap(shifts, levels).powers).sum()) / DIRECTIONS / 2

    slopes = PhaseOverlap(shifts, levels).slopes(weights)
    for frame, axis in ((0, 0), (3, 1)):
        step = np.zeros_like(shifts)
        step[frame, axis] = 1e-4
        assert np.isclose(slopes[frame, axis], (value(shifts + step) - value(shifts - step)) / 2e-4, rtol=1e-4)


def test_without_motion_everything_overlaps():
    overlap = PhaseOverlap(np.zeros((4, 2)), np.ones(4))
    np.testing.assert_allclose(overlap.powers, 16)
