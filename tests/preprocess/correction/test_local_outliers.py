"""Hot and dead pixels are small and sharp; what the optics show is neither."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.correction.defects import Defects, find_defects

SIDE = 160
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


def found_in(image: np.ndarray, gain: np.ndarray | None = None) -> Defects:
    stack = CpuBackend(2).hold(1, *image.shape, np.dtype(np.float32))
    stack.put(0, image.astype(np.float32))
    stack.set_gain(gain)
    return find_defects(stack.frame_sum())


def disc(radius: float) -> np.ndarray:
    return np.hypot(ROWS - 70, COLUMNS - 90) < radius


def spots(sigma: float) -> np.ndarray:
    places = np.random.default_rng(3).uniform(12, SIDE - 12, (12, 2))
    return sum(np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / (2 * sigma**2)) for y, x in places)


REGIONS = {
    "a hole of 10 px": np.where(disc(10), 48.0, 2.4),
    "a hole of 60 px": np.where(disc(60), 48.0, 2.4),
    "a hole in thin ice": np.where(disc(25), 48.0, 10.0),
    "half is dark": np.where(COLUMNS < 70, 1.0, 50.0),
    "a dark bar": np.where(np.abs(COLUMNS - 80) < 12, 0.7, 50.0),
    "an oblique bar": np.where(np.abs(COLUMNS - 0.3 * ROWS - 60) < 9, 0.8, 50.0),
    "a checkerboard": np.where((ROWS // 8 + COLUMNS // 8) % 2, 100.0, 5.0),
    "sharp spots": 20 + 2000 * spots(1.0),
    "spots": 20 + 2000 * spots(1.5),
    "wide spots": 20 + 2000 * spots(3.0),
    "hardly any counts": np.full((SIDE, SIDE), 0.1),
    "few counts": np.full((SIDE, SIDE), 1.0),
    "many counts": np.full((SIDE, SIDE), 5000.0),
}


@pytest.mark.parametrize("what", REGIONS)
def test_regions_are_no_defects(random: np.random.Generator, what: str) -> None:
    found = found_in(random.poisson(REGIONS[what]))
    assert (found.hot.size, found.dead.size, found.doubts) == (0, 0, ())


def odd_places() -> np.ndarray:
    odd = np.zeros((SIDE, SIDE), bool)
    odd[5, 6] = odd[0, 0] = odd[SIDE - 1, 40] = True
    odd[30:32, 20:22] = odd[60:63, 120:123] = True
    odd[:, 140] = odd[150, 10:90] = True
    odd[70:120, 50:52] = True
    return odd


@pytest.mark.parametrize("level", [9.0, 40.0, 3000.0])
def test_small_clusters_and_lines_are_hot(random: np.random.Generator, level: float) -> None:
    odd = odd_places()
    image = random.poisson(np.where(odd, level + 20 * np.sqrt(level) + 60, level))
    np.testing.assert_array_equal(found_in(image).hot, np.flatnonzero(odd))


def test_small_clusters_and_lines_are_dead(random: np.random.Generator) -> None:
    odd = odd_places()
    found = found_in(np.where(odd, 0, random.poisson(60, odd.shape)))
    assert found.hot.size == 0
    np.testing.assert_array_equal(found.dead, np.flatnonzero(odd))


def test_hot_pixels_in_and_beside_a_hole_are_found(random: np.random.Generator) -> None:
    image = random.poisson(REGIONS["a hole of 60 px"])
    for place, value in {(70, 90): 300, (20, 30): 40, (70, 28): 200}.items():
        image[place] = value
    assert found_in(image).hot.tolist() == [20 * SIDE + 30, 70 * SIDE + 28, 70 * SIDE + 90]


def test_noise_around_zero_has_a_constant_deviation(random: np.random.Generator) -> None:
    image = random.normal(0, 1, (SIDE, SIDE))
    image[40, 50] = 12
    found = found_in(image)
    assert found.hot.tolist() == [40 * SIDE + 50]
    assert found.dead.size == 0


def test_too_many_are_left_alone_and_said(random: np.random.Generator) -> None:
    image = random.poisson(40, (400, 400))
    image.reshape(-1)[random.permutation(image.size)[:4000]] = 0
    found = found_in(image)
    assert (found.pixels.size, found.dead.size) == (0, 0)
    [doubt] = found.doubts
    assert "look dead, more than any camera has: none of them was replaced" in doubt


def test_a_sum_without_noise_has_no_defects() -> None:
    assert found_in(np.full((SIDE, SIDE), 7.0)).pixels.size == 0
