"""Planes through the defoci of blocks: which slopes count as tilts."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.ctf.tilt import _through

CENTRES = np.array([(y, x) for y in (-1000.0, 0, 1000) for x in (-1000.0, 0, 1000)])
BLOCKS = np.arange(9)
ERROR = 30.0


def through(defocus: np.ndarray):
    return _through(defocus, np.full(9, 1 / ERROR**2), CENTRES, BLOCKS, 10.0)


def test_a_plane_is_a_tilt_whose_axis_lies_along_equal_defocus() -> None:
    found = through(15_000 + CENTRES @ [0.2, -0.2])
    assert found.is_significant
    assert found.slope == pytest.approx([0.2, -0.2])
    assert found.tilt_degrees == pytest.approx(np.degrees(np.arctan(0.2 * np.sqrt(2))))
    assert found.axis_degrees == pytest.approx(45)


def test_blocks_that_scatter_more_than_their_errors_make_no_tilt() -> None:
    slope = CENTRES @ [0.1, 0.0]
    assert through(15_000 + slope).is_significant
    uneven = np.array([1, -1, 1, 1, -1, -1, -1, 1, 0]) * 120.0
    assert not through(15_000 + slope + uneven).is_significant


def test_a_bent_specimen_widens_the_error_of_the_mean_and_a_flat_one_does_not() -> None:
    noise = np.random.default_rng(4).normal(0, ERROR, 9)
    flat, bent = through(10_000 + noise), through(10_000 + noise + 500 * np.cos(np.arange(9) * 2.4))
    assert flat.error_if_flat == 0
    assert flat.error_on_plane == pytest.approx(0, abs=1e-6)
    scatter_angstrom = 500 / np.sqrt(2)
    assert bent.error_if_flat == pytest.approx(scatter_angstrom / 3, rel=0.35)
    assert bent.error_on_plane == pytest.approx(scatter_angstrom / 3, rel=0.35)


def test_a_tilt_does_not_widen_the_error_once_it_is_taken_out() -> None:
    tilted = through(10_000 + CENTRES @ np.array([0.2, 0.1]))
    assert tilted.error_on_plane == pytest.approx(0, abs=1e-6)
    assert tilted.error_if_flat > ERROR


def test_a_tilt_whose_rings_lie_off_the_middle_widens_the_error() -> None:
    slope = np.array([0.2, 0.1])
    information = np.where(CENTRES[:, 0] > 0, 10.0, 1.0) / ERROR**2
    found = _through(10_000 + CENTRES @ slope, information, CENTRES, BLOCKS, 10.0)
    away_angstrom = 0.2 * 1000 * (30 - 3) / 36
    assert 0.2 * away_angstrom < found.error_on_plane < away_angstrom
