"""A micrograph's contrast at the scale of particles."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.quality.contrast import image_contrast


def test_contrast_is_that_of_squares_of_40_angstrom() -> None:
    wave = 100 * (1 + 0.1 * np.sin(np.arange(1000) * 2 * np.pi / 500))  # 500 boxes of 2 Å: 1000 Å
    image = np.tile(wave.astype(np.float32), (1000, 1))
    assert image_contrast(image, (2.0, 2.0)) == pytest.approx(0.1 / np.sqrt(2), rel=0.01)
    noisy = image + np.random.default_rng(0).normal(0, 100, image.shape).astype(np.float32)
    assert image_contrast(noisy, (2.0, 2.0)) == pytest.approx(0.086, abs=0.003)  # 100 / 20 / 100 of noise is left


def test_contrast_is_the_same_however_fine_the_boxes_are() -> None:
    random = np.random.default_rng(1)
    coarse = random.normal(50, 4, (32, 48)).astype(np.float32)
    fine = np.repeat(np.repeat(coarse, 4, 0), 8, 1)
    assert image_contrast(fine, (10.0, 5.0)) == pytest.approx(image_contrast(coarse, (40.0, 40.0)), rel=1e-4)


def test_what_has_no_contrast_gives_none() -> None:
    assert image_contrast(np.ones((8, 8), np.float32), (10.0, 10.0)) is None
    assert image_contrast(np.zeros((64, 64), np.float32), (40.0, 40.0)) is None
