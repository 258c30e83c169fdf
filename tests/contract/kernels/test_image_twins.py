"""Kernels in C and numba's that look at images, their defects and their tiles: the same bits where a test says so."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.backends.box_moments import box_ends
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.spectrum_layout import ring_indices

FRAME_TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.float32]
PLAIN = KernelSet("numba")


def seen(shape: tuple[int, int], seed: int = 3) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return a raw sum with hot, infinite and missing pixels, a gain, and which pixels are valid."""
    random = np.random.default_rng(seed)
    raw = random.poisson(20, shape).astype(np.float32)
    gain = random.uniform(0.8, 1.2, shape).astype(np.float32)
    good = (random.uniform(0, 1, shape) > 0.05).astype(np.uint8)
    raw.reshape(-1)[random.integers(0, raw.size, max(2, raw.size // 60))] += 90
    raw.reshape(-1)[random.integers(0, raw.size, 3)] = np.inf, np.nan, 0
    return raw, gain, good


def gain_or_none(gain: NDArray[Any], has_gain: bool) -> tuple[NDArray[Any], bool]:
    return (gain, True) if has_gain else (np.ones((1, 1), np.float32), False)


@pytest.mark.parametrize("dtype", FRAME_TYPES)
@pytest.mark.parametrize(("shape", "boxes", "step"), [((3, 40, 131), 3, 1), ((2, 37, 50), 4, 3), ((2, 8, 5), 8, 1)])
def test_sums_of_boxes(in_c: Any, dtype: type, shape: tuple[int, int, int], boxes: int, step: int) -> None:
    """The same for integers; to 1e-13 for floating point, whose squares are added in another order."""
    frames = (np.random.default_rng(1).uniform(-3, 99, shape)).astype(dtype)
    ends = box_ends(shape[1], boxes), box_ends(shape[2], boxes)
    found, expected = np.zeros((2, shape[0], 3, boxes, boxes))
    in_c.box_sums(frames, *ends, step, found, 0, 1)
    in_c.box_sums(frames, *ends, step, found, 1, shape[0])
    PLAIN.box_sums(frames, *ends, step, expected, 0, shape[0])
    np.testing.assert_allclose(found, expected, rtol=0 if np.dtype(dtype).kind in "ui" else 1e-13)
    assert expected[:, 0].min() >= 0
    assert expected[:, 0].max() > 0


@pytest.mark.parametrize("dtype", FRAME_TYPES)
def test_replaced_pixels(in_c: Any, dtype: type) -> None:
    """The same bits, of frames that differ in which source they take."""
    random = np.random.default_rng(2)
    found = random.integers(0, 99, (5, 300)).astype(dtype)
    expected, before = found.copy(), found.copy()
    targets, sources = np.array([0, 17, 299]), random.integers(20, 290, (3, 24))
    rules = targets, sources, np.array([24, 5, 1]), targets * 31 % 1009, np.array([1, 5, 13])
    in_c.replace_pixels(found, *rules, 1, 5)
    PLAIN.replace_pixels(expected, *rules, 1, 5)
    np.testing.assert_array_equal(found, expected)
    assert (found != before).any()
    np.testing.assert_array_equal(found[0], before[0])


@pytest.mark.parametrize("has_gain", [False, True])
@pytest.mark.parametrize("width", [5, 131])
def test_listed_pixels(in_c: Any, has_gain: bool, width: int) -> None:
    """The same pixels in the same order."""
    raw, gain, good = seen((23, width))
    arguments = (raw, *gain_or_none(gain, has_gain), good, (19.5, 24.25), np.array([0, 3, 4, 22]))
    lists = []
    for kernels in (in_c, PLAIN):
        counts = np.zeros(4, np.int64)
        kernels.list_between(*arguments, counts, np.empty(0, np.int64), 0, 4)
        found, firsts = np.full(counts.sum(), -1), np.cumsum(counts) - counts
        kernels.list_between(*arguments, firsts, found, 0, 2)
        kernels.list_between(*arguments, firsts, found, 2, 4)
        lists.append(found)
    np.testing.assert_array_equal(lists[0], lists[1])
    assert lists[0].size > 0
    assert (lists[0] >= 0).all()


@pytest.mark.parametrize("has_gain", [False, True])
@pytest.mark.parametrize(("shape", "reach"), [((30, 131), 3), ((9, 5), 4), ((3, 40), 7), ((40, 17), 0)])
def test_surroundings(in_c: Any, has_gain: bool, shape: tuple[int, int], reach: int) -> None:
    """The same bits, also where a box is larger than the image, and whichever rows a thread gets."""
    raw, gain, good = seen(shape)
    pixels = np.sort(np.random.default_rng(8).choice(raw.size, 20, replace=False))
    firsts = np.searchsorted(pixels, np.arange(shape[0] + 1) * shape[1])
    results = []
    for kernels, ends in ((in_c, (0, 2, shape[0])), (PLAIN, (0, shape[0]))):
        around, noise = np.zeros(20, np.float32), np.zeros((2, shape[0]))
        for start, stop in pairwise(ends):
            kernels.surroundings(
                raw, *gain_or_none(gain, has_gain), good, reach, pixels, firsts, around, noise, start, stop
            )
        results.append((around, noise))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert results[0][1][1].max() > 0


@pytest.mark.parametrize("has_gain", [False, True])
@pytest.mark.parametrize("shape", [(40, 131), (9, 5), (3, 40), (30, 3)])
def test_peaks(in_c: Any, has_gain: bool, shape: tuple[int, int]) -> None:
    """The same pixels, also in images smaller than what they are compared with."""
    raw, gain, good = seen(shape)
    raw += np.float32(35) * (
        np.random.default_rng(9).uniform(0, 1, shape) < 0.2
    )  # many that only just stand out, or do not
    raw[shape[0] // 2, shape[1] // 2], good[shape[0] // 2, shape[1] // 2] = 300, 1
    marks, counts = np.zeros((2, *shape), np.uint8), np.zeros((2, shape[0]), np.int64)
    arguments = (raw, *gain_or_none(gain, has_gain), good, (1.1, 0.3))
    in_c.mark_peaks(*arguments, marks[0], counts[0], 0, 2)
    in_c.mark_peaks(*arguments, marks[0], counts[0], 2, shape[0])
    PLAIN.mark_peaks(*arguments, marks[1], counts[1], 0, shape[0])
    np.testing.assert_array_equal(marks[0], marks[1])
    np.testing.assert_array_equal(counts[0], counts[1])
    assert counts[0].sum() > 0


@pytest.mark.parametrize("has_gain", [False, True])
def test_windows(in_c: Any, has_gain: bool) -> None:
    """The same bits, beyond the image's corners too."""
    raw, gain, good = seen((12, 33))
    pixels = np.array([0, 32, 100, 33 * 12 - 1])
    found, expected = np.zeros((2, 4, 81), np.float32)
    for kernels, windows in ((in_c, found), (PLAIN, expected)):
        kernels.cut_windows(raw, *gain_or_none(gain, has_gain), good, pixels, 4, windows, 1, 4)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found[1:]).any()
    assert np.isfinite(found[1:]).any()


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (3, 5), (4, 3), (50, 50)])
def test_thumbnails(in_c: Any, factors: tuple[int, int]) -> None:
    """The same bits; boxes at the ends are smaller."""
    image = np.random.default_rng(4).normal(3, 1, (41, 47)).astype(np.float32)
    shape = (-(-41 // factors[0]), -(-47 // factors[1]))
    found, expected = np.zeros((2, *shape), np.float32)
    in_c.reduce_boxes(image, factors, found, 0, shape[0])
    PLAIN.reduce_boxes(image, factors, expected, 0, shape[0])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bin_factor", [1, 3])
def test_tiles(in_c: Any, bin_factor: int) -> None:
    """Rows to 1e-5, and their sums; a row with values that are not finite, and one without any that is."""
    random = np.random.default_rng(5)
    image, window = random.normal(3, 1, (60, 130)).astype(np.float32), random.uniform(0, 1, 37).astype(np.float32)
    image[6 * bin_factor, 12 * bin_factor : 16 * bin_factor] = np.nan
    image[7 * bin_factor] = np.inf
    image[8 * bin_factor, 9 * bin_factor] = 400
    rows, statistics = np.zeros((2, 9, 37), np.float32), np.zeros((2, 3, 15))
    for number, kernels in enumerate((in_c, PLAIN)):
        kernels.cut_rows(image, 5, 4, bin_factor, 3.0, 2.5, window, rows[number], statistics[number])
    np.testing.assert_allclose(rows[0], rows[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(statistics[0], statistics[1], rtol=1e-5, atol=1e-5)
    assert statistics[0, 2, 5:9].tolist() == [0, 4, 37, 0]


def test_columns_of_tiles(in_c: Any) -> None:
    """The same bits where values are moved, and where they are multiplied; powers to the rounding of float32."""
    random = np.random.default_rng(6)
    transforms = (random.normal(0, 1, (9, 25)) + 1j * random.normal(0, 1, (9, 25))).astype(np.complex64)
    window = random.uniform(0, 1, 24).astype(np.float32)
    columns, cut = np.ones((2, 8, 30), np.complex64), np.zeros((2, 8, 24), np.complex64)
    columns *= np.arange(30)
    powers = np.ones((2, 8, 15), np.float32)
    for number, kernels in enumerate((in_c, PLAIN)):
        kernels.keep_columns(transforms, 4, columns[number])
        kernels.cut_columns(columns[number], 2, window, 0.7, cut[number])
        kernels.add_column_powers(cut[number], powers[number])
    np.testing.assert_array_equal(columns[0], columns[1])
    np.testing.assert_array_equal(cut[0], cut[1])
    np.testing.assert_allclose(powers[0], powers[1], rtol=1e-6)
    assert (powers[0] > 1).all()


@pytest.mark.parametrize("take_off", [False, True])
@pytest.mark.parametrize(("count", "shape"), [(2, (12, 10)), (5, (20, 33)), (9, (24, 70))])
def test_splitting(in_c: Any, take_off: bool, count: int, shape: tuple[int, int]) -> None:
    """What is taken off to the rounding of float32; figures to 1e-12, though logarithms are another library's."""
    random = np.random.default_rng(count)
    height, half, ring_count = shape[0], shape[1] // 2 + 1, 256

    def made(*size: int) -> NDArray[np.complex64]:
        return (random.normal(0, 1, size) + 1j * random.normal(0, 1, size)).astype(np.complex64)

    def phases(*size: int) -> NDArray[np.complex64]:
        return np.exp(2j * np.pi * random.uniform(0, 1, size)).astype(np.complex64)

    spectra, fixed, rows, columns = (
        made(count, height, half),
        made(height, half),
        phases(count, height),
        phases(count, half),
    )
    powers = random.uniform(0.1, 2, (5, ring_count))
    powers[0, 40:50], powers[0, 200:] = 0, 0
    rings = ring_indices(shape) // 2  # the highest frequency along x has a ring that counts, too
    powers[3] = 3.0 * count
    arguments = rows, columns, random.uniform(0.9, 1.1, count), rings, np.arange(height), powers
    results = []
    for kernels in (in_c, PLAIN):
        left, off, by_row = spectra.copy(), fixed.copy(), np.zeros((height, 12, ring_count))
        kernels.split_spectra(left, off, *arguments, shape[1], take_off, by_row, 0, 5)
        kernels.split_spectra(left, off, *arguments, shape[1], take_off, by_row, 5, height)
        results.append((left, off, by_row))
    (left, off, by_row), expected = results
    np.testing.assert_allclose(by_row, expected[2], rtol=1e-12, atol=1e-12 * np.abs(expected[2]).max())
    np.testing.assert_allclose(off, expected[1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(left, expected[0], rtol=0, atol=1e-6)
    assert (np.abs(by_row).max((0, 2)) > 0).all()
    assert take_off == bool((left != spectra).any())
