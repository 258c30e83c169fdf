"""Images that repeat themselves are told from those that do not, whatever their noise and their edges."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.alignment.whole_frame import estimate_motion
from preprocess.backends.cpu.backend import CpuBackend

SIDE, COUNT = 256, 6
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)
MOVED = np.linspace(0, 1, COUNT)[:, None] * [2.0, -1.5]


def lattice(y: np.ndarray, x: np.ndarray, period: float) -> np.ndarray:
    along, across = 0.9 * y + 0.436 * x, 0.9 * x - 0.436 * y
    return 0.2 * (np.cos(2 * np.pi * along / period) + np.cos(2 * np.pi * across / period))


def edge(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.where(x + 0.4 * y > 180, 0.3, 0.0)


def grains(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(4)
    return 0.4 * sum(np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 40) for at in random.uniform(0, SIDE, (60, 2)))


def repeats_px(image, dose: float = 6.0) -> float | None:
    random = np.random.default_rng(1)
    stack = CpuBackend(2).hold(COUNT, SIDE, SIDE, np.dtype(np.uint8))
    for index, (dy, dx) in enumerate(MOVED):
        stack.put(index, random.poisson(dose * np.maximum(1 + image(Y - dy, X - dx), 0)).astype(np.uint8))
    return estimate_motion(stack.spectra(1), 1).repeats_px


@pytest.mark.parametrize("period", [16.0, 30.0, 45.0])
def test_a_lattice_is_known_by_its_period(period: float) -> None:
    assert repeats_px(lambda y, x: lattice(y, x, period)) == pytest.approx(period, abs=4)


@pytest.mark.parametrize("image", [edge, grains, lambda y, x: np.zeros_like(y)], ids=["edge", "grains", "nothing"])
def test_other_images_do_not_repeat_themselves(image) -> None:
    assert repeats_px(image) is None


def test_noise_hides_a_lattice_rather_than_making_one() -> None:
    assert repeats_px(lambda y, x: 0.02 * grains(y, x), dose=0.5) is None
