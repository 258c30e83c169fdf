"""Kernels in C and numba's kernels of the same names give the same, to the tolerances that each test states."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.patch_spectra import kept_columns
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, lanczos_taps, ring_indices
from preprocess.geometry.field import DisplacementField
from preprocess.movies.lzw import decode_strips

FRAME_TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.float32]
PLAIN = KernelSet("numba")


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


@pytest.mark.parametrize("dtype", FRAME_TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sum_of_frames(in_c: Any, dtype: type, shape: tuple[int, int, int]) -> None:
    """The same bits: integers are added exactly, floating point in the same order."""
    frames, found, expected = counted(shape, dtype), *np.full((2, *shape[1:]), 7, np.float32)
    in_c.raw_sum(frames, found, 0, shape[1])
    PLAIN.raw_sum(frames, expected, 0, shape[1])
    np.testing.assert_array_equal(found, expected)


def test_sum_of_frames_wider_than_its_pieces(in_c: Any) -> None:
    frames = counted((2, 3, 2500), np.uint16) * 20000
    total = np.empty((3, 2500), np.float32)
    in_c.raw_sum(frames, total, 1, 3)
    np.testing.assert_array_equal(total[1:], frames[:, 1:].sum(0))


@pytest.mark.parametrize("dtype", FRAME_TYPES)
@pytest.mark.parametrize("has_gain", [False, True])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7])
def test_binning(in_c: Any, dtype: type, has_gain: bool, factor: int) -> None:
    """The same to the rounding of float32; rows and columns that fill no box are left out."""
    frame, gain = counted((45, 131), dtype), gain_of((45, 131)) if has_gain else np.ones((1, 1), np.float32)
    found, expected = np.zeros((2, 45 // factor, 131 // factor), np.float32)
    in_c.bin_frame(frame, gain, has_gain, factor, found, 0, len(found))
    PLAIN.bin_frame(frame, gain, has_gain, factor, expected, 0, len(found))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def measured(kernels: Any, shape: tuple[int, int], count: int, seed: int = 3) -> list[NDArray[np.float64]]:
    """Return powers, gradient and Hessian of three patches of random transforms, of which two are wanted."""
    random = np.random.default_rng(seed)
    width, wanted = shape[1], np.array([2, 0])
    rings = ring_indices(shape)
    kept = kept_columns(rings)
    planes = random.normal(0, 1, (3, 2 * count * kept.sum())).astype(np.float32)
    extents, weights = (rings < 200).sum(1), random.uniform(0, 1, 257).astype(np.float32)
    results = [np.zeros((2, 2, 256)), np.zeros((count, 2, 2)), np.zeros((2, 3))]
    shifts = random.normal(0, 3, (count, 2, 2))
    kernels.measure_patches(planes, kept, wanted, shifts, rings, extents, weights, width, *results, 0, 1)
    kernels.measure_patches(planes, kept, wanted, shifts, rings, extents, weights, width, *results, 1, 2)
    return results


@pytest.mark.parametrize("shape", [(24, 20), (37, 33), (64, 140), (5, 4)])
@pytest.mark.parametrize("count", [1, 2, 17])
def test_patches(in_c: Any, shape: tuple[int, int], count: int) -> None:
    """Sums of thousands of products agree to 2e-5 of the largest, or of 10: those of one frame cancel out."""
    for found, expected in zip(measured(in_c, shape, count), measured(PLAIN, shape, count), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(np.abs(expected).max(), 10))


def test_phases_are_those_of_the_exponential() -> None:
    for size in (8, 9):
        phases = np.empty(size, np.complex64)
        PLAIN.write_phases(0.7 / size, size, phases)
        np.testing.assert_allclose(phases, np.exp(2j * np.pi * 0.7 * np.fft.fftfreq(size)), atol=2e-7)


@pytest.mark.parametrize(("shape", "output"), [((40, 60), (40, 60)), ((41, 63), (20, 31)), ((6, 5), (4, 5))])
def test_filtering(in_c: Any, shape: tuple[int, int], output: tuple[int, int]) -> None:
    """To 1e-5 of the largest: in C, places between the 30 factors, which differ a lot, are in single precision."""
    random = np.random.default_rng(1)
    transform = np.fft.rfft2(random.normal(0, 1, shape)).astype(np.complex64)
    factors = random.uniform(0, 1, 30).astype(np.float32)
    found, expected = np.ones((2, output[0], output[1] // 2 + 1), np.complex64)
    for kernels, total in ((in_c, found), (PLAIN, expected)):
        kernels.add_filtered(transform, *shape, factors, CORNER_FREQUENCY, total, 0, len(total))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def strips_of(
    image: NDArray[np.uint8], strip_bytes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Return the strips of an image one after the other, where each begins and how long it is."""
    flat = image.ravel()
    strips = [imagecodecs.lzw_encode(flat[at : at + strip_bytes].tobytes()) for at in range(0, flat.size, strip_bytes)]
    counts = np.array([len(strip) for strip in strips])
    return np.frombuffer(b"".join(strips), np.uint8), np.cumsum(counts) - counts, counts


@pytest.mark.parametrize("strip_bytes", [1, 7, 100, 5000])
@pytest.mark.parametrize("mean", [0, 0.05, 1, 90])
def test_lzw(in_c: Any, strip_bytes: int, mean: float) -> None:
    """The same bytes, of images with few and many values and strings of all lengths (all zero: long ones)."""
    image = np.random.default_rng(2).poisson(mean, 4321).clip(0, 255).astype(np.uint8)
    decoded = np.empty_like(image)
    assert in_c.decode_strips(*strips_of(image, strip_bytes), decoded, strip_bytes) == -1
    np.testing.assert_array_equal(decoded, image)


def test_damaged_lzw(in_c: Any) -> None:
    """Whatever is wrong with a strip, both kernels name the same one, or decode the same bytes."""
    random = np.random.default_rng(3)
    image = random.poisson(1, 3000).astype(np.uint8)
    block, begins, counts = strips_of(image, 500)
    named = set()
    for _ in range(300):
        damaged = block.copy()
        damaged[random.integers(0, len(block), 2)] = random.integers(0, 256, 2)
        found, expected = np.zeros((2, 3000), np.uint8)
        first = in_c.decode_strips(damaged, begins, counts, found, 500)
        assert first == decode_strips(damaged, begins, counts, expected, 500)
        if first < 0:
            np.testing.assert_array_equal(found, expected)
        named.add(first)
    assert len(named) > 3


def spectra_of(count: int, shape: tuple[int, int]) -> tuple[NDArray[Any], ...]:
    """Return random transforms of frames, phase factors of rows and columns, rings and weights of rings."""
    random = np.random.default_rng(9)
    height, half = shape[0], shape[1] // 2 + 1

    def made(*size: int) -> NDArray[np.complex64]:
        return (random.normal(0, 1, size) + 1j * random.normal(0, 1, size)).astype(np.complex64)

    weights = random.uniform(0, 1, 257).astype(np.float32)
    weights[150:] = 0
    return made(count, height, half), made(count, height), made(count, half), ring_indices(shape), weights


SPECTRA = [(2, (8, 10)), (3, (37, 33)), (5, (24, 70))]


@pytest.mark.parametrize(("count", "shape"), SPECTRA)
def test_sums_and_derivatives_of_spectra(in_c: Any, count: int, shape: tuple[int, int]) -> None:
    """Agree to 1e-5 of the largest value."""
    spectra, rows, columns, rings, weights = spectra_of(count, shape)
    results = []
    for kernels in (in_c, PLAIN):
        total, by_row = np.empty(spectra.shape[1:], np.complex64), np.zeros((2, shape[0], 257))
        kernels.sum_spectra(spectra, rows, columns, rings, shape[1], total, by_row, 0, 5)
        kernels.sum_spectra(spectra, rows, columns, rings, shape[1], total, by_row, 5, shape[0])
        slopes = np.zeros((shape[0], count, 5))
        kernels.derivatives(spectra, total, rows, columns, rings, weights, shape[1], slopes, 0, shape[0])
        results.append((total, by_row, slopes))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.abs(results[0][2]).max() > 1


def test_tapering_and_cutting(in_c: Any) -> None:
    """Agree to 1e-5 of values around 3; cut transforms are the same bits."""
    random = np.random.default_rng(7)
    image = random.normal(3, 1, (60, 90)).astype(np.float32)
    rows, columns = random.uniform(0, 1, 31).astype(np.float32), random.uniform(0, 1, 37).astype(np.float32)
    places = np.array([0, 29, 7]), np.array([53, 0, 11])
    tapered, patches = np.stack([image, image])[:, :31, :37].copy(), np.zeros((2, 3, 31, 37), np.float32)
    for number, kernels in enumerate((in_c, PLAIN)):
        kernels.taper_frame(tapered[number], 3.01, rows, columns, 0, 31)
        kernels.cut_patches(image, *places, rows, columns, patches[number], 0, 3)
    np.testing.assert_allclose(tapered[0], tapered[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(patches[0], patches[1], rtol=0, atol=1e-5)
    transforms = np.fft.rfft2(np.stack([image, image[::-1], -image])).astype(np.complex64)
    for size in (10, 11):
        kept = kept_columns(ring_indices((size, 10)))
        planes = np.zeros((2, 3, 2 * 2 * kept.sum()), np.float32)
        in_c.keep_lowest(transforms, 1, 2, kept, planes[0], 1, 3)
        PLAIN.keep_lowest(transforms, 1, 2, kept, planes[1], 1, 3)
        assert np.count_nonzero(planes[0, 1]) > kept.sum()
        assert not planes[:, 0].any()
        np.testing.assert_array_equal(planes[0], planes[1])


@pytest.mark.parametrize("has_gain", [False, True])
@pytest.mark.parametrize("width", [5, 32, 131])
def test_statistics_of_rows(in_c: Any, has_gain: bool, width: int) -> None:
    """The same bits, as on a device: rows with all, some and no valid pixels, with NaN and infinity."""
    random = np.random.default_rng(width)
    raw, gain = (
        random.normal(5, 2, (9, width)).astype(np.float32),
        random.normal(0.6, 0.4, (9, width)).astype(np.float32),
    )
    raw[4, 2], raw[5, 0], good = np.nan, np.inf, np.ones((2, 9, width), np.uint8)
    for number, kernels in enumerate((in_c, PLAIN)):
        kernels.believe_in_gain(gain, good[number], 0, 6)
        good[number, 1, 3], good[number, 2], good[number, 3] = 0, 0, 1
    np.testing.assert_array_equal(good[0], good[1])
    found, expected = np.zeros((2, 6, 9))
    rows = np.array([0, 1, 2, 3, 4, 5, 8])
    for kernels, statistics in ((in_c, found), (PLAIN, expected)):
        kernels.sum_statistics(raw, gain, has_gain, good[0], rows, statistics, 0, len(rows))
    np.testing.assert_array_equal(found, expected)
    assert np.isinf(found[:, 2]).any()
    parts = np.zeros((2, 6, 20))
    in_c.image_statistics(raw, parts[0, :, 4:13], 1, 9)
    PLAIN.image_statistics(raw, parts[1, :, 4:13], 1, 9)
    np.testing.assert_array_equal(parts[0], parts[1])


def test_images_added_up(in_c: Any) -> None:
    """The same bits; only the rows that were asked for."""
    image = np.random.default_rng(1).normal(0, 1, (2, 7, 33)).astype(np.float32)
    found, expected = np.zeros((2, 7, 33), np.float32)
    for kernels, total in ((in_c, found), (PLAIN, expected)):
        kernels.add_image(image[0], np.float32(0.3), total, True, 1, 6)
        kernels.add_image(image[1], np.float32(-1.7), total, False, 1, 6)
    np.testing.assert_array_equal(found, expected)
