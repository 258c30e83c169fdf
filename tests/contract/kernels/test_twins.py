"""Kernels in C and numba's kernels of the same names give the same, to the tolerances that each test states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.backends.compiled.available import compiled_kernels
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.spectrum_layout import lanczos_taps
from preprocess.geometry.field import DisplacementField

FRAME_TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.float32]
PLAIN = KernelSet("numba")


@pytest.fixture
def in_c() -> Iterator[Any]:
    kernels = compiled_kernels()
    if kernels is None:
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    return kernels


def counted(shape: tuple[int, ...], dtype: type, seed: int = 0) -> NDArray[Any]:
    """Return frames as a camera counts them; below zero, too, where the type can."""
    random = np.random.default_rng(seed)
    frames = random.poisson(3, shape) - (2 if np.dtype(dtype).kind in "if" else 0)
    return frames.astype(dtype)


def gain_of(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(5).uniform(0.8, 1.2, shape).astype(np.float32)


def warped(
    kernel: Any,
    frames: NDArray[Any],
    gain: NDArray[np.float32] | None,
    field: DisplacementField,
    piece: int | None = None,
) -> NDArray[np.float32]:
    """Return two weighted sums of frames, the first of which there are values in already."""
    count, height, width = frames.shape
    weights = np.random.default_rng(6).uniform(0.1, 1, (count, 2)).astype(np.float32)
    sums = np.zeros((2, height, width), np.float32)
    sums[0] = 7
    factors = (np.ones((1, 1), np.float32), False) if gain is None else (gain, True)
    pieces = field.columns_at_once(width)
    for start in range(0, height, 48):
        kernel(
            frames, *factors, *field.by_powers(), pieces, weights, lanczos_taps(), sums, start, min(start + 48, height)
        )
    return sums


def shifted(count: int, by: float = 3.0) -> DisplacementField:
    return DisplacementField.whole_frame(np.random.default_rng(8).normal(0, by, (count, 2)))


SHAPES = [(3, 37, 5), (2, 16, 128), (3, 50, 131), (1, 130, 301)]
"""Narrower than a vector, whole tiles, and rows and columns that are left over."""


@pytest.mark.parametrize("dtype", FRAME_TYPES)
@pytest.mark.parametrize("has_gain", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_warp_by_shifts(in_c: Any, dtype: type, has_gain: bool, shape: tuple[int, int, int]) -> None:
    """The same to the rounding of float32, at the borders too: 1e-5 of values of 3 to 20."""
    frames, gain = counted(shape, dtype), gain_of(shape[1:]) if has_gain else None
    field = shifted(shape[0])
    expected = warped(PLAIN.warp_and_sum, frames, gain, field)
    np.testing.assert_allclose(warped(in_c.warp_and_sum, frames, gain, field), expected, rtol=0, atol=1e-5 * 20)


def test_warp_far_beyond_the_frame(in_c: Any) -> None:
    """Content that came from beyond is mirrored, however far away it is."""
    frames = counted((3, 40, 70), np.uint8)
    field = DisplacementField.whole_frame(np.array([[900.3, -7.2], [-55.5, 1234.6], [0.2, -71.0]]))
    expected = warped(PLAIN.warp_and_sum, frames, None, field)
    np.testing.assert_allclose(warped(in_c.warp_and_sum, frames, None, field), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("stretch", [1.002, 1.012, 1.05])
@pytest.mark.parametrize("shape", SHAPES)
def test_warp_of_a_field_that_varies(in_c: Any, stretch: float, shape: tuple[int, int, int]) -> None:
    """The same to the rounding of float32, gentle or steep (5 % magnification: few columns at once)."""
    frames = counted(shape, np.uint8)
    field = shifted(shape[0]).stretched(stretch, 30, shape[1:])
    expected = warped(PLAIN.warp_and_sum, frames, None, field)
    np.testing.assert_allclose(warped(in_c.warp_and_sum, frames, None, field), expected, rtol=0, atol=2e-4)


def test_warp_keeps_missing_values_where_they_are(in_c: Any) -> None:
    """A NaN spoils the six by six pixels that are interpolated from it, and no others."""
    frames = counted((2, 64, 200), np.float32)
    frames[1, 30, 77] = np.nan
    frames[0, 0, 199] = np.inf
    field = shifted(2, 1.0)
    expected = warped(PLAIN.warp_and_sum, frames, None, field)
    found = warped(in_c.warp_and_sum, frames, None, field)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found[np.isfinite(found)], expected[np.isfinite(found)], rtol=0, atol=2e-4)


def test_a_wrong_number_type_never_reaches_a_kernel(in_c: Any) -> None:
    frames = counted((2, 16, 16), np.uint8)
    arguments = (shifted(2).by_powers()[0], shifted(2).by_powers()[1], 16)
    sums = np.zeros((1, 16, 16), np.float32)
    with pytest.raises(TypeError):
        in_c.warp_and_sum(
            frames, np.ones((1, 1), np.float32), False, *arguments, np.ones((2, 1)), lanczos_taps(), sums, 0, 16
        )
    gapped = np.ones((2, 2), np.float32)[:, :1]
    with pytest.raises(ValueError, match="contiguous"):
        in_c.warp_and_sum(frames, np.ones((1, 1), np.float32), False, *arguments, gapped, lanczos_taps(), sums, 0, 16)
