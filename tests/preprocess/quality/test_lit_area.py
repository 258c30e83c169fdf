"""Which share of the field is lit, by counts that a camera would give."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.alignment.frame_judgement import BOXES
from preprocess.backends.cpu.backend import CpuBackend
from preprocess.quality.lit_area import LitArea, lit_area


def area(frames: np.ndarray) -> LitArea | None:
    stack = CpuBackend(1).hold(*frames.shape, frames.dtype)
    for number, frame in enumerate(frames):
        stack.put(number, frame)
    return lit_area(stack.box_moments(BOXES, frames.shape[1]))


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, (4, 256, 256)).astype(np.uint8)


def test_a_field_that_is_lit_everywhere_is_neither_empty_nor_saturated(counts: np.ndarray) -> None:
    falling_off = np.random.default_rng(1).poisson(np.linspace(1, 6, 256), (4, 256, 256)).astype(np.uint8)
    assert area(counts) == area(falling_off) == LitArea(0.0, 0.0)


def test_places_that_no_electrons_reach_are_empty(counts: np.ndarray) -> None:
    counts[:, :96] //= 60  # 3 of 8 rows of boxes
    assert area(counts) == LitArea(3 / 8, 0.0)


def test_places_that_count_the_same_everywhere_are_saturated(counts: np.ndarray) -> None:
    counts[:, :, 192:] = 15
    assert area(counts) == LitArea(0.0, 2 / 8)


def test_counts_with_an_offset_are_not_judged(counts: np.ndarray) -> None:
    assert area(counts.astype(np.int16) - 100) is None
    assert area(np.zeros((2, 64, 64), np.uint8)) is None
