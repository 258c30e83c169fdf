"""A gain that is estimated from movies, against the truth and against the plain average of their sums."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from preprocess.gains.estimate import GainEstimate, estimate_gain
from preprocess.gains.pixel_counts import PixelCounts
from preprocess.simulation import SimulationSettings
from preprocess.simulation.detector import make_detector

SIDE = 256
DETECTOR = make_detector(SimulationSettings(height=SIDE, width=SIDE, hot_pixels_per_million=60))
TRUTH = DETECTOR.sensitivity
Y, X = np.mgrid[:SIDE, :SIDE]


def specimen(kind: str, random: np.random.Generator) -> np.ndarray:
    ice = scipy.ndimage.gaussian_filter(random.standard_normal((SIDE, SIDE)), 5)
    thickness = scipy.ndimage.gaussian_filter(random.standard_normal((SIDE, SIDE)), 60)
    image = 1 + 0.05 * ice / ice.std() + 0.08 * thickness / thickness.std()
    if kind == "hole":  # always nearly at the same place, as automatic recording has it
        y, x = random.integers(-12, 13, 2)
        image = np.where(np.hypot(Y - SIDE / 2 - y, X - SIDE / 2 - x) < 0.55 * SIDE, image, 0.3 * image)
    return np.maximum(image, 0.1)


def estimated(
    kind: str, movies: int, counts: float, sensitivity: np.ndarray = TRUTH
) -> tuple[GainEstimate, np.ndarray]:
    """Return the estimate, and the plain average of the same raw sums."""
    random = np.random.default_rng(4)
    seen, total = PixelCounts((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for _ in range(movies):
        raw = random.poisson(counts * specimen(kind, random) * sensitivity).astype(np.float32)
        raw.reshape(-1)[DETECTOR.hot_pixels] = random.poisson(900, DETECTOR.hot_pixels.size)
        total += raw
        seen.add(raw)
    return estimate_gain(seen), total / total.mean()


def fast(image: np.ndarray) -> np.ndarray:
    return image - scipy.ndimage.uniform_filter(image, 16)


def quality(sensitivity: np.ndarray) -> tuple[float, float, float]:
    """Return the correlation with the truth, that of the fast parts, and what a correction leaves of the latter."""
    good = TRUTH > 0
    good.reshape(-1)[DETECTOR.hot_pixels] = False
    image, truth = np.where(good, sensitivity, 1), np.where(good, TRUTH, 1)
    left = fast(image / truth - 1)[good].std()
    whole = np.corrcoef(image[good], truth[good])[0, 1]
    return whole, np.corrcoef(fast(image)[good], fast(truth)[good])[0, 1], left


@pytest.mark.parametrize("kind", ["ice", "hole"])
@pytest.mark.parametrize(("movies", "counts"), [(8, 20), (32, 20), (32, 5)])
def test_it_is_better_than_the_average_of_the_sums_and_than_no_gain(kind, movies, counts):
    estimate, plain = estimated(kind, movies, counts)
    assert estimate.is_sure
    whole, fine, left = quality(estimate.sensitivity)
    plain_whole, plain_fine, plain_left = quality(plain)
    assert whole > plain_whole + 0.05
    assert fine > plain_fine - 0.02
    assert left < 0.6 * plain_left
    assert left < fast(1 / np.where(TRUTH > 0, TRUTH, 1)).std()
    assert estimate.error == pytest.approx(left, rel=0.3)


def test_hot_and_dead_pixels_are_zero():
    estimate, _ = estimated("ice", 8, 20)
    hot, dead = DETECTOR.hot_pixels, DETECTOR.dead_pixels
    assert set(np.flatnonzero(estimate.sensitivity == 0)) == {*hot.tolist(), *dead.tolist()}
    assert (estimate.hot, estimate.dead) == (hot.size, dead.size)
    assert estimate.noise == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", ["ice", "hole"])
def test_a_camera_that_corrects_itself_shows_none(kind):
    estimate, _ = estimated(kind, 16, 20, np.ones_like(TRUTH))
    assert not estimate.is_sure


def test_too_few_counts_are_unsure():
    assert not estimated("ice", 2, 2)[0].is_sure


def test_it_is_said_how_many_movies_are_needed():
    few, _ = estimated("ice", 8, 20)
    needed = few.movies_for(0.021)
    assert 8 < needed < 60
    enough, _ = estimated("ice", needed, 20)
    assert enough.error == pytest.approx(0.021, rel=0.15)
    assert few.movies_for(0.5) == 2
