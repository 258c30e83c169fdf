"""One contract, every backend: each result against a plain NumPy reference written from its definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from preprocess.backends.contract import RING_COUNT, Backend
from preprocess.backends.spectrum_layout import edge_taper, lanczos_taps
from preprocess.geometry.field import DisplacementField, terms_at
from preprocess.geometry.patches import lay_patches, patch_window
from preprocess.geometry.replacements import find_replacements
from preprocess.movies.frame_groups import FrameGroups

COUNT, HEIGHT, WIDTH = 3, 70, 150  # neither is a multiple of a kernel's blocks


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def hold(backend: Backend, frames: np.ndarray, gain: np.ndarray | None = None):
    stack = backend.hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    stack.set_gain(gain)
    return stack


def counts(random: np.random.Generator, dtype: str = "uint8") -> np.ndarray:
    return random.poisson(20, (COUNT, HEIGHT, WIDTH)).astype(dtype)


def transforms(frames: np.ndarray, gain: np.ndarray, factor: int) -> np.ndarray:
    """What `spectra` holds, by its definition."""
    height, width = HEIGHT // factor, WIDTH // factor
    boxes = (frames * gain)[:, : height * factor, : width * factor].astype(np.float64)
    binned = boxes.reshape(COUNT, height, factor, width, factor).sum((2, 4))
    binned -= binned.mean((1, 2), keepdims=True)
    return np.fft.fft2(binned * edge_taper(height)[:, None] * edge_taper(width))


def aligned(spectra: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    ky, kx = np.fft.fftfreq(spectra.shape[1])[:, None], np.fft.fftfreq(spectra.shape[2])
    phases = shifts[:, 0, None, None] * ky + shifts[:, 1, None, None] * kx
    return spectra * np.exp(2j * np.pi * phases)


def rings(shape: tuple[int, int]) -> np.ndarray:
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    return np.minimum((k * 2 * RING_COUNT).astype(int), RING_COUNT)


def seen(backend: Backend, image: object) -> np.ndarray:
    """An image of the device as it is."""
    return backend.bring_down(image, float32=True).pixels()


def raw_sum(stack: object) -> np.ndarray:
    return stack.frame_sum().raw_centre(max(HEIGHT, WIDTH))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32", "float16"])
def test_raw_sum_is_exact_for_every_number_type(backend: Backend, random: np.random.Generator, dtype: str) -> None:
    frames = counts(random, dtype)
    stack = hold(backend, frames, np.full((HEIGHT, WIDTH), 2, np.float32))
    np.testing.assert_array_equal(raw_sum(stack), frames.astype(np.float64).sum(0))


def test_defect_pixels_take_other_values_of_their_own_frame(backend: Backend, random: np.random.Generator) -> None:
    frames = counts(random)
    pixels = np.array([0, 5, 700, 1234, HEIGHT * WIDTH - 1])
    replacements = find_replacements(pixels, (HEIGHT, WIDTH))
    stack = hold(backend, frames)
    stack.replace_pixels(replacements)
    expected = frames.copy().reshape(COUNT, -1)
    for t, frame in enumerate(expected):
        turn = (replacements.starts + t * replacements.steps) % replacements.counts
        frame[replacements.targets] = frame[replacements.sources[np.arange(len(pixels)), turn]]
    assert (expected != frames.reshape(COUNT, -1)).sum() > COUNT
    np.testing.assert_array_equal(raw_sum(stack).ravel(), expected.sum(0, dtype=np.float64))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_moments_are_those_of_boxes(backend: Backend, random: np.random.Generator, dtype: str) -> None:
    frames = counts(random, dtype)
    found = hold(backend, frames, np.full((HEIGHT, WIDTH), 2, np.float32)).box_moments(4, 35)  # every second row
    for box in range(16):
        y, x = divmod(box, 4)
        rows = slice(y * HEIGHT // 4, (y + 1) * HEIGHT // 4)
        columns = slice(x * WIDTH // 4, (x + 1) * WIDTH // 4)
        seen = frames[:, rows, columns][:, ::2].reshape(COUNT, -1).astype(np.float64)
        np.testing.assert_array_equal(found[:, 0, box], seen.shape[1])
        np.testing.assert_allclose(found[:, 1, box], seen.mean(1), rtol=1e-12)
        np.testing.assert_allclose(found[:, 2, box], seen.var(1), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_frames_that_are_kept_and_the_sums_of_their_groups(
    backend: Backend, random: np.random.Generator, dtype: str
) -> None:
    frames = np.concatenate([counts(random, dtype), counts(random, dtype)])
    groups = FrameGroups.of(6, 2)
    stack, grouped = hold(backend, frames), backend.hold(3, HEIGHT, WIDTH, groups.sum_dtype(frames.dtype))
    fewer = groups.without([0, 1, 4])
    assert (fewer.sizes, fewer.places) == ((2, 1), (2, 3, 5))
    stack.keep(np.array([2, 3, 5]))
    grouped.keep(np.arange(2))
    stack.add_up(fewer, grouped)
    np.testing.assert_array_equal(raw_sum(stack), frames[[2, 3, 5]].astype(np.float64).sum(0))
    np.testing.assert_array_equal(raw_sum(grouped), frames[[2, 3, 5]].astype(np.float64).sum(0))
    grouped.keep(np.array([1]))
    np.testing.assert_array_equal(raw_sum(grouped), frames[5])


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_ring_powers(backend: Backend, random: np.random.Generator, factor: int) -> None:
    frames, gain = counts(random), random.uniform(0.8, 1.2, (HEIGHT, WIDTH)).astype(np.float32)
    spectra = hold(backend, frames, gain).spectra(factor)
    shifts = random.normal(0, 2, (COUNT, 2))
    reference = aligned(transforms(frames, gain, factor), shifts)
    ring = rings(spectra.shape).ravel()
    of_sum = np.bincount(ring, (np.abs(reference.sum(0)) ** 2).ravel(), RING_COUNT + 1)[:RING_COUNT]
    of_frames = np.bincount(ring, (np.abs(reference) ** 2).sum(0).ravel(), RING_COUNT + 1)[:RING_COUNT]
    found_sum, found_frames = spectra.ring_powers(shifts)
    np.testing.assert_allclose(found_frames, of_frames, rtol=1e-4, atol=1e-3 * of_frames.max())
    np.testing.assert_allclose(found_sum, of_sum, rtol=1e-3, atol=1e-3 * of_sum.max())
    np.testing.assert_array_equal(spectra.ring_sizes(), np.bincount(ring, minlength=RING_COUNT + 1)[:RING_COUNT])


def test_correlations_leave_each_frame_out_of_its_own_reference(backend: Backend, random: np.random.Generator) -> None:
    frames, gain = counts(random), np.ones((HEIGHT, WIDTH), np.float32)
    spectra = hold(backend, frames).spectra(1)
    shifts, weights = random.normal(0, 1, (COUNT, 2)), random.uniform(0, 1, RING_COUNT)
    spectra.ring_powers(shifts)
    windows = spectra.correlations(shifts, weights, (HEIGHT, WIDTH), 4)
    reference = aligned(transforms(frames, gain, 1), shifts)
    weight = np.append(weights, 0)[rings((HEIGHT, WIDTH))]
    for index in range(COUNT):
        others = reference.sum(0) - reference[index]
        surface = np.fft.fftshift(np.fft.ifft2(weight * reference[index] * others.conj()).real)
        middle = surface[HEIGHT // 2 - 4 : HEIGHT // 2 + 5, WIDTH // 2 - 4 : WIDTH // 2 + 5]
        # an even size's Nyquist row and column are real in a half spectrum, which costs a little
        np.testing.assert_allclose(windows[index], middle, atol=0.02 * np.abs(surface).max())


def test_correlation_peaks_where_the_content_went(backend: Backend, random: np.random.Generator) -> None:
    scene = random.normal(0, 1, (HEIGHT, WIDTH))
    frames = np.stack([np.roll(scene, move, (0, 1)) for move in ((0, 0), (0, 0), (2, -3))]).astype(np.float32)
    spectra = hold(backend, frames).spectra(1)
    spectra.ring_powers(np.zeros((COUNT, 2)))
    window = spectra.correlations(np.zeros((COUNT, 2)), np.ones(RING_COUNT), (HEIGHT, WIDTH), 5)[2]
    assert np.unravel_index(window.argmax(), window.shape) == (5 + 2, 5 - 3)


def test_derivatives_are_those_of_the_correlation(backend: Backend, random: np.random.Generator) -> None:
    frames = counts(random)
    spectra = hold(backend, frames).spectra(2)
    shifts = random.normal(0, 0.5, (COUNT, 2))
    weights = np.exp(-np.arange(RING_COUNT) / 60.0)
    spectra.ring_powers(shifts)
    gradient, hessian = spectra.derivatives(shifts, weights)
    reference = transforms(frames, np.ones((HEIGHT, WIDTH)), 2)
    weight = np.append(weights, 0)[rings(spectra.shape)]
    total = aligned(reference, shifts).sum(0)

    def correlation(index: int, dy: float, dx: float) -> float:
        others = total - aligned(reference, shifts)[index]
        moved = aligned(reference, shifts + np.array([dy, dx]))[index]
        return float((weight * moved * others.conj()).real.sum())

    h = 1e-3
    for index in range(COUNT):
        slope_y = (correlation(index, h, 0) - correlation(index, -h, 0)) / (2 * h)
        slope_x = (correlation(index, 0, h) - correlation(index, 0, -h)) / (2 * h)
        np.testing.assert_allclose(gradient[index], [slope_y, slope_x], rtol=2e-3, atol=2e-3 * np.abs(gradient).max())
        middle = correlation(index, 0, 0)
        curve_y = (correlation(index, h, 0) + correlation(index, -h, 0) - 2 * middle) / h**2
        curve_x = (correlation(index, 0, h) + correlation(index, 0, -h) - 2 * middle) / h**2
        mixed = (
            correlation(index, h, h)
            + correlation(index, -h, -h)
            - correlation(index, h, -h)
            - correlation(index, -h, h)
        ) / (4 * h**2)
        np.testing.assert_allclose(
            hessian[index], [curve_y, curve_x, mixed], rtol=5e-3, atol=5e-3 * np.abs(hessian).max()
        )


@pytest.mark.parametrize(("factor", "kept"), [(1, 1.0), (2, 0.7)])
def test_patches_are_measured_as_defined(
    backend: Backend, random: np.random.Generator, factor: int, kept: float
) -> None:
    frames, gain = counts(random), random.uniform(0.8, 1.2, (HEIGHT, WIDTH)).astype(np.float32)
    drift = np.array([[0.0, 0.0], [2.4, -3.1], [5.0, 4.2]])
    layout = lay_patches((HEIGHT // factor, WIDTH // factor), (1, 3), drift, bin_factor=factor, kept=kept)
    spectra = hold(backend, frames, gain).patch_spectra(layout)
    assert spectra.shape == (layout.kept_height, layout.kept_width)
    shifts = random.normal(0, 0.7, (COUNT, 3, 2))
    weights, last_ring = random.uniform(0, 1, RING_COUNT), 230
    found = spectra.measure(shifts, weights, [2, 0], last_ring)
    window = patch_window(layout.height)[:, None] * patch_window(layout.width)
    ring = rings(spectra.shape)
    weight = np.where(ring < last_ring, np.append(weights, 0)[ring], 0)
    binned = np.stack([boxes(frame * gain, factor) for frame in frames])
    ky, kx = (2 * np.pi * np.fft.fftfreq(size) for size in spectra.shape)
    for place, patch in enumerate((2, 0)):
        cuts = [
            frame[top : top + layout.height, left : left + layout.width]
            for frame, top, left in zip(binned, layout.tops[:, patch], layout.lefts[:, patch], strict=True)
        ]
        full = np.fft.fft2(np.stack([(cut - cut.mean()) * window for cut in cuts]))
        low = [np.fft.fftfreq(size, 1 / size).astype(int) for size in spectra.shape]
        reference = aligned(full[:, low[0]][:, :, low[1]], shifts[:, patch])
        total = reference.sum(0)
        for powers, expected in (
            (found.sum_powers, np.abs(total) ** 2),
            (found.frame_powers, (np.abs(reference) ** 2).sum(0)),
        ):
            by_ring = np.bincount(ring.ravel(), expected.ravel(), RING_COUNT + 1)[:RING_COUNT]
            by_ring[last_ring:] = 0
            np.testing.assert_allclose(powers[place], by_ring, rtol=1e-3, atol=1e-4 * by_ring.max())
        products = weight * reference * (total - reference).conj()
        for axis, k in enumerate((ky[:, None], kx[None])):
            slope = -(k * products.imag).sum((1, 2))
            np.testing.assert_allclose(found.gradient[:, place, axis], slope, atol=1e-3 * np.abs(slope).max())
        curves = [-(k * products.real).sum() for k in (ky[:, None] ** 2, kx[None] ** 2, ky[:, None] * kx[None])]
        np.testing.assert_allclose(found.hessian[place], curves, atol=1e-3 * np.abs(curves).max())


def boxes(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor].astype(np.float64)
    return whole.reshape(height, factor, width, factor).sum((1, 3))


def test_patches_that_cover_the_frame_count_every_pixel_once_on_average() -> None:
    layout = lay_patches((700, 1000), (3, 4), np.zeros((2, 2)), bin_factor=1, kept=1.0)
    area = (patch_window(layout.height) ** 2).sum() * (patch_window(layout.width) ** 2).sum() * 12
    assert 0.85 < area / 700_000 < 1.05


def warped(frame: np.ndarray, field: DisplacementField, t: int) -> np.ndarray:
    """One frame with its displacement undone: Lanczos-3 of the mirrored image, the field sampled every few columns."""
    y, x = np.indices(frame.shape)
    columns = field.columns_at_once(WIDTH)
    block = x // columns * columns
    middle = (block + 0.5 * np.minimum(columns, WIDTH - block)) / WIDTH - 0.5
    row = y / HEIGHT - 0.5
    terms = terms_at(row, middle, field.terms)
    taps = lanczos_taps()
    places = []
    for start, coefficients in ((y, field.y[t]), (x, field.x[t])):
        shift = np.tensordot(coefficients, terms, 1)
        whole = np.floor(shift).astype(int)
        places.append((start + whole, taps[((shift - whole) * len(taps)).astype(int)]))
    padded = np.pad(frame.astype(np.float64), 40, mode="symmetric")
    (iy, wy), (ix, wx) = places
    result = np.zeros(frame.shape)
    for j in range(6):
        for i in range(6):
            result += wy[..., j] * wx[..., i] * padded[iy + 38 + j, ix + 38 + i]
    return result


@pytest.mark.parametrize(("with_gain", "terms"), [(False, 6), (True, 21)])
def test_warped_sums_follow_the_field_and_the_weights(
    backend: Backend, random: np.random.Generator, with_gain: bool, terms: int
) -> None:
    frames = counts(random)
    gain = random.uniform(0.8, 1.2, (HEIGHT, WIDTH)).astype(np.float32)
    field = DisplacementField(random.normal(0, 3, (COUNT, terms)), random.normal(0, 3, (COUNT, terms)))
    weights = random.normal(0, 1, (19, COUNT)).astype(np.float32)
    images = hold(backend, frames, gain if with_gain else None).warped_sums(field, weights)
    each = np.stack([warped(frame * (gain if with_gain else 1), field, t) for t, frame in enumerate(frames)])
    passed_on = np.ones((1, 2), np.float32)
    for weight, image in zip(weights, images, strict=True):
        found = seen(backend, backend.filtered_sum([image], passed_on, (HEIGHT, WIDTH)))
        np.testing.assert_allclose(found, np.tensordot(weight, each, 1), atol=2e-3)


def test_whole_pixel_shifts_move_pixels_unchanged(backend: Backend, random: np.random.Generator) -> None:
    frames = counts(random)
    field = DisplacementField.whole_frame(np.array([[0.0, 0.0], [3.0, -5.0], [-2.0, 7.0]]))
    images = hold(backend, frames).warped_sums(field, np.eye(COUNT, dtype=np.float32))
    inner = (slice(10, -10), slice(10, -10))
    for t, (dy, dx) in enumerate([(0, 0), (3, -5), (-2, 7)]):
        found = seen(backend, backend.filtered_sum([images[t]], np.ones((1, 2), np.float32), (HEIGHT, WIDTH)))
        np.testing.assert_allclose(found[inner], np.roll(frames[t], (-dy, -dx), (0, 1))[inner], atol=1e-4)


def test_filtered_sum_filters_by_frequency_and_keeps_the_mean_when_binning(
    backend: Backend, random: np.random.Generator
) -> None:
    frames = counts(random)
    images = hold(backend, frames).warped_sums(
        DisplacementField.whole_frame(np.zeros((COUNT, 2))), np.eye(COUNT, dtype=np.float32)
    )
    filters = np.stack([np.linspace(1, 0, 500), np.linspace(0.5, 2, 500), np.ones(500)]).astype(np.float32)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH))
    places = np.linspace(0, np.sqrt(0.5), 500)
    expected = sum(
        scipy.fft.rfft2(frame.astype(np.float64)) * np.interp(frequency, places, factors)
        for frame, factors in zip(frames, filters, strict=True)
    )
    whole = seen(backend, backend.filtered_sum(images, filters, (HEIGHT, WIDTH)))
    np.testing.assert_allclose(whole, scipy.fft.irfft2(expected, s=(HEIGHT, WIDTH)), atol=1e-3)
    assert whole.dtype == np.float32
    small = seen(backend, backend.filtered_sum(images, filters, (14, 30)))
    assert small.shape == (14, 30)
    assert small.mean() == pytest.approx(whole.mean(), rel=1e-5)
    low = np.fft.rfft2(small)[:6, :14] / small.size
    np.testing.assert_allclose(low, expected[:6, :14] / whole.size, atol=1e-4)
    plain = seen(backend, backend.filtered_sum(images, np.ones((3, 2), np.float32), (HEIGHT, WIDTH)))
    np.testing.assert_array_equal(plain, frames.sum(0, dtype=np.float64))
    factors = np.array([0.5, -2.0, 1.25], np.float32)
    combined = seen(backend, backend.filtered_sum(images, np.repeat(factors[:, None], 2, 1), (HEIGHT, WIDTH)))
    np.testing.assert_allclose(combined, np.tensordot(factors, frames.astype(np.float64), 1), rtol=1e-6, atol=1e-4)


def test_what_interpolation_took_is_given_back_along_each_axis(backend: Backend, random: np.random.Generator) -> None:
    frames = counts(random)
    still = DisplacementField.whole_frame(np.zeros((COUNT, 2)))
    images = hold(backend, frames).warped_sums(still, np.ones((1, COUNT), np.float32))
    factors = np.stack([np.linspace(1, 2, 65), np.linspace(1, 1.5, 65)]).astype(np.float32)
    ones = np.ones((1, 2), np.float32)
    along_y = 1 + 2 * np.abs(np.fft.fftfreq(HEIGHT))[:, None]
    along_x = 1 + np.fft.rfftfreq(WIDTH)
    expected = np.fft.rfft2(frames.sum(0, dtype=np.float64)) * along_y * along_x
    whole = seen(backend, backend.filtered_sum(images, ones, (HEIGHT, WIDTH), factors))
    np.testing.assert_allclose(whole, np.fft.irfft2(expected, s=(HEIGHT, WIDTH)), atol=1e-3)
    small = np.fft.rfft2(seen(backend, backend.filtered_sum(images, ones, (14, 30), factors))) / (14 * 30)
    np.testing.assert_allclose(small[:6, :14], expected[:6, :14] / frames[0].size, atol=1e-4)


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT - 1, WIDTH - 1)])
def test_amplitudes_of_images_are_added_up(
    backend: Backend, random: np.random.Generator, shape: tuple[int, int]
) -> None:
    images = [random.normal(20, 5, shape).astype(np.float32) for _ in range(2)]
    undampings = [random.uniform(1, 2, (2, 9)).astype(np.float32) for _ in images]
    frequencies = np.abs(np.fft.fftfreq(shape[0])), np.fft.rfftfreq(shape[1])
    expected = 0
    for image, undamping in zip(images, undampings, strict=True):
        along_y, along_x = (
            np.interp(each, np.linspace(0, 0.5, 9), factors)
            for each, factors in zip(frequencies, undamping, strict=True)
        )
        expected += np.abs(scipy.fft.rfft2(image.astype(np.float64))) / image.size * along_y[:, None] * along_x
    found = backend.amplitudes([backend.upload(image) for image in images], undampings)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_a_released_stack_holds_no_frames(backend: Backend, random: np.random.Generator) -> None:
    stack = hold(backend, counts(random))
    images = stack.warped_sums(DisplacementField.whole_frame(np.zeros((COUNT, 2))), np.ones((1, COUNT), np.float32))
    stack.release()
    assert seen(backend, backend.filtered_sum(images, np.ones((1, 2), np.float32), (HEIGHT, WIDTH))).sum() > 0
    assert stack.frames.nbytes == 0
