"""Kernels in C take frames in half precision, and give the bits that they give for the same numbers in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.backends.spectrum_layout import lanczos_taps
from preprocess.geometry.field import DisplacementField

COUNT, HEIGHT, WIDTH = 4, 37, 301
ODD = [0.0, -0.0, 2.0**-24, -(2.0**-24), 6.1e-5, 65504.0, -65504.0, 1 / 3, np.inf, -np.inf, np.nan]


def frames_of(*, odd: bool) -> NDArray[np.float16]:
    """Return counts below and above zero, with fractions; `odd`: also denormal, infinite and no numbers."""
    random = np.random.default_rng(2)
    frames = random.normal(1, 3, (COUNT, HEIGHT, WIDTH)).astype(np.float16)
    if odd:
        frames.reshape(-1)[random.choice(frames.size, 40 * len(ODD), replace=False)] = np.tile(ODD, 40)
    return frames


def every_number() -> NDArray[np.float16]:
    """Return all 65,536 numbers that there are, as one frame."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(1, 256, 256)


def assert_same(found: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    good = ~np.isnan(expected)
    np.testing.assert_array_equal(found[good].tobytes(), expected[good].tobytes())


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_sums_and_boxes(in_c: Any, odd: bool) -> None:
    frames, gain = frames_of(odd=odd), np.random.default_rng(3).uniform(0.8, 1.2, (HEIGHT, WIDTH)).astype(np.float32)
    ends = np.array([0, 10, HEIGHT]), np.array([0, 150, WIDTH])
    results = []
    for given in (frames, frames.astype(np.float32)):
        total, sums = np.empty((HEIGHT, WIDTH), np.float32), np.zeros((COUNT, 3, 2, 2))
        in_c.raw_sum(given, total, 0, HEIGHT)
        in_c.box_sums(given, *ends, 1, sums, 0, COUNT)
        binned = [np.empty((HEIGHT // factor, WIDTH // factor), np.float32) for factor in (1, 2, 3)]
        for factor, image in enumerate(binned, start=1):
            in_c.bin_frame(given[1], gain, factor > 1, factor, image, 0, len(image))
        results.append([total, sums, *binned])
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("has_gain", [False, True])
def test_warped_sums(in_c: Any, has_gain: bool, odd: bool) -> None:
    frames, random = frames_of(odd=odd), np.random.default_rng(4)
    frames.reshape(-1)[:: WIDTH - 2] = 2.0**-24
    gain = random.uniform(0.8, 1.2, (HEIGHT, WIDTH)).astype(np.float32) if has_gain else np.ones((1, 1), np.float32)
    weights = random.uniform(0.1, 1, (COUNT, 2)).astype(np.float32)
    field = DisplacementField.whole_frame(random.normal(0, 3, (COUNT, 2)))
    results = []
    for given in (frames, frames.astype(np.float32)):
        sums = np.zeros((2, HEIGHT, WIDTH), np.float32)
        in_c.warp_and_sum(
            given, gain, has_gain, *field.by_powers(), field.columns_at_once(WIDTH), weights, lanczos_taps(), sums, 0,
            HEIGHT,
        )  # fmt: skip
        results.append(sums)
    assert_same(*results)
    assert np.isfinite(results[0]).mean() > (0.2 if odd else 0.999)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_every_number_is_exact(in_c: Any) -> None:
    """Side by side, and one by one in the columns that are left over."""
    for frames in (every_number(), every_number().reshape(1, -1, 1), every_number().reshape(1, -1, 8)):
        image = np.empty(frames.shape[1:], np.float32)
        in_c.bin_frame(frames[0], np.ones((1, 1), np.float32), False, 1, image, 0, len(image))
        expected = frames[0].astype(np.float32) + np.float32(0)  # sums begin with 0, so there is no -0
        assert_same(image, expected)


def test_pixels_are_replaced(in_c: Any) -> None:
    frames = every_number().reshape(2, 1 << 15).copy()
    expected = frames.view(np.uint16).copy()
    expected[:, [5, 31_800]] = expected[:, [6, 31_801]]  # the second is not a number
    in_c.replace_pixels(
        frames, np.array([5, 31_800]), np.array([[6], [31_801]]), np.ones(2, np.int64), np.zeros(2, np.int64),
        np.zeros(2, np.int64), 0, 2,
    )  # fmt: skip
    np.testing.assert_array_equal(frames.view(np.uint16), expected)
