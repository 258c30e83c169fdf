"""The part of frames that is fixed to the camera, on every backend, against a plain NumPy reference."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from odd_movie import hold

from preprocess.backends.contract import RING_COUNT, Backend, FixedPart, PartPowers
from preprocess.backends.spectrum_layout import edge_taper, multiplicity
from preprocess.geometry.patches import lay_patches

SHIFTS = np.array([[0.0, 0.0], [1.4, -2.1], [-0.8, 3.2]])
LEVELS = np.array([1.0, 0.9, 1.2])
COUNT, HEIGHT, WIDTH = 3, 70, 150


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def counts(random: np.random.Generator) -> np.ndarray:
    return random.poisson(20, (COUNT, HEIGHT, WIDTH)).astype(np.uint8)


def transforms(frames: np.ndarray) -> np.ndarray:
    """What `spectra` holds, by its definition."""
    taper = edge_taper(HEIGHT)[:, None] * edge_taper(WIDTH)
    return np.fft.fft2((frames - frames.mean((1, 2), keepdims=True)) * taper)


def aligned(spectra: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    ky, kx = np.fft.fftfreq(spectra.shape[1])[:, None], np.fft.fftfreq(spectra.shape[2])
    return spectra * np.exp(2j * np.pi * (shifts[:, 0, None, None] * ky + shifts[:, 1, None, None] * kx))


def rings(shape: tuple[int, ...]) -> np.ndarray:
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    return np.minimum((k * 2 * RING_COUNT).astype(int), RING_COUNT)


def seen(backend: Backend, image: object) -> np.ndarray:
    return backend.bring_down(image, float32=True).pixels()


def some_powers(random: np.random.Generator) -> PartPowers:
    noise = random.uniform(1e4, 3e4, RING_COUNT)
    noise[200:] = 0
    taken = random.uniform(0.5, 1, RING_COUNT)
    return PartPowers(noise, random.uniform(0, 2e4, RING_COUNT), random.uniform(0, 2e4, RING_COUNT), 9 * noise, taken)


def expected_split(spectra: np.ndarray, powers: PartPowers, every: int) -> tuple[np.ndarray, np.ndarray]:
    """The figures of `Spectra.split`, and the fixed part, by their definition."""
    ring = rings(spectra.shape[1:])
    noise, of_fixed, of_moving, outstanding, taken = (np.append(values, 0)[ring] for values in astuple(powers))
    twice = np.zeros(ring.shape)  # of a pair, the one in the half spectrum stands for both
    twice[::every, : WIDTH // 2 + 1] = multiplicity((HEIGHT, WIDTH))[::every]
    used = (noise > 0) & (twice > 0)
    noise = np.where(noise > 0, noise, 1)
    level = LEVELS[:, None, None]
    n, undone = (LEVELS**2).sum(), aligned(np.ones(spectra.shape), SHIFTS)
    a, b = (level * spectra).sum(0), (level * spectra * undone).sum(0)
    c, g = (level * spectra * undone**2).sum(0), (level**2 * undone).sum(0)
    own = np.abs(a) ** 2 > outstanding
    of_fixed = np.where(own, np.abs(a) ** 2 / n**2, of_fixed)
    of_moving = np.where(own & (2 * np.abs(g) ** 2 < n**2), of_fixed, of_moving)
    ridges = [noise / np.maximum(power, 1e-9 * noise) for power in (of_fixed, of_moving)]
    apart = n**2 - np.abs(g) ** 2
    determinant = (n + ridges[0]) * (n + ridges[1]) - np.abs(g) ** 2
    still = ((n + ridges[1]) * a - g.conj() * b) / determinant
    moving = ((n + ridges[0]) * b - g * a) / determinant
    fit = (a.conj() * still + b.conj() * moving).real / noise - np.log(determinant / (ridges[0] * ridges[1]))
    change = np.abs(spectra[2] / LEVELS[2] - spectra[1] / LEVELS[1]) ** 2 / 2
    sums = [np.ones(a.shape), (np.abs(spectra) ** 2).sum(0), change, np.abs(a) ** 2, np.abs(b) ** 2]
    sums += [np.abs(n * a - g.conj() * b) ** 2, np.abs(n * b - g * a) ** 2, np.abs(g) ** 2, apart, apart**2]
    sums = [np.where(own, 0, values) for values in [*sums, np.abs(n * c - g * b) ** 2]] + [fit / 2]
    figures = [np.bincount(ring[used], (twice * values)[used], RING_COUNT)[:RING_COUNT] for values in sums]
    return np.stack(figures), np.where(ring < 200, np.where(own, 1, taken) * still, 0)


@pytest.mark.parametrize("every", [1, 3])
def test_parts_are_split_as_defined(backend: Backend, random: np.random.Generator, every: int) -> None:
    frames, powers = counts(random), some_powers(random)
    reference = transforms(frames)
    found = hold(backend, frames).spectra(1).split(SHIFTS, LEVELS, powers, every=every)
    expected, _ = expected_split(reference, powers, every)
    assert 0 < expected[0].sum() < (rings(reference.shape[1:]) < 200).sum() / every  # some stand out
    for index, (figure, known) in enumerate(zip(astuple(found), expected, strict=True)):
        np.testing.assert_allclose(figure, known, rtol=1e-3, atol=1e-4 * np.abs(known).max(), err_msg=str(index))


def test_what_is_taken_off_is_gone_and_can_be_found_again(backend: Backend, random: np.random.Generator) -> None:
    frames, powers = counts(random), some_powers(random)
    reference = transforms(frames)
    spectra = hold(backend, frames).spectra(1)
    assert not seen(backend, spectra.fixed_image()).any()
    figures = [astuple(spectra.split(SHIFTS, LEVELS, powers, take_off=True)) for _ in range(2)]
    np.testing.assert_allclose(figures[1], figures[0], rtol=1e-3, atol=1e-4 * np.abs(figures[0]).max(1)[:, None].max())
    _, still = expected_split(reference, powers, 1)
    image = np.fft.ifft2(still).real
    np.testing.assert_allclose(seen(backend, spectra.fixed_image()), image, atol=1e-4 * np.abs(image).max())
    cleaned = aligned(reference - LEVELS[:, None, None] * still, SHIFTS)
    of_sum, of_frames = spectra.ring_powers(SHIFTS)
    ring = rings(reference.shape[1:]).ravel()
    for found, values in ((of_sum, np.abs(cleaned.sum(0)) ** 2), (of_frames, (np.abs(cleaned) ** 2).sum(0))):
        known = np.bincount(ring, values.ravel(), RING_COUNT + 1)[:RING_COUNT]
        np.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-4 * known.max())


def test_patches_lack_what_is_fixed(backend: Backend, random: np.random.Generator) -> None:
    frames, factor = counts(random), 2
    layout = lay_patches((HEIGHT // factor, WIDTH // factor), (1, 2), SHIFTS, bin_factor=factor, kept=1.0)
    fixed = random.normal(0, 30, (HEIGHT // factor, WIDTH // factor)).astype(np.float32)
    taper = edge_taper(len(fixed))[:, None] * edge_taper(fixed.shape[1])
    binned = frames.reshape(COUNT, HEIGHT // factor, factor, WIDTH // factor, factor).sum((2, 4), dtype=np.float64)
    without = (binned - binned.mean((1, 2), keepdims=True)) * taper - LEVELS[:, None, None] * fixed
    shifts, weights = np.zeros((COUNT, 2, 2)), np.ones(RING_COUNT)
    whole = np.rint(SHIFTS[:, None] / factor)
    assert (whole[1:] != 0).any()
    part = FixedPart(backend.upload(fixed), LEVELS)
    found = hold(backend, frames).patch_spectra(layout, part).measure(shifts, weights, [0, 1], RING_COUNT)
    moved = lay_patches(fixed.shape, (1, 2), whole[:, 0], bin_factor=1, kept=1.0)
    known = hold(backend, without.astype(np.float32)).patch_spectra(moved).measure(shifts, weights, [0, 1], RING_COUNT)
    np.testing.assert_allclose(found.sum_powers, known.sum_powers, rtol=1e-3, atol=1e-4 * known.sum_powers.max())
    np.testing.assert_allclose(found.gradient, known.gradient, atol=1e-3 * np.abs(known.gradient).max())


@pytest.mark.parametrize("with_gain", [True, False])
def test_a_weight_multiplies_frames_until_it_is_taken_away(
    backend: Backend, random: np.random.Generator, with_gain: bool
) -> None:
    frames = counts(random)
    gain = random.uniform(0.8, 1.2, (HEIGHT, WIDTH)).astype(np.float32) if with_gain else None
    weight = random.uniform(0.5, 2, (HEIGHT, WIDTH)).astype(np.float32)
    stack = hold(backend, frames, gain)
    assert stack.frame_shape == (HEIGHT, WIDTH)
    seen_with = weight if gain is None else weight * gain
    nowhere = np.zeros((COUNT, 2))
    before = stack.spectra(1).ring_powers(nowhere)[1]
    stack.set_weight(weight)
    weighted = stack.spectra(1).ring_powers(nowhere)[1]
    stack.set_weight(None)
    np.testing.assert_array_equal(stack.spectra(1).ring_powers(nowhere)[1], before)
    expected = hold(backend, frames, seen_with).spectra(1).ring_powers(nowhere)[1]
    np.testing.assert_allclose(weighted, expected, rtol=1e-5)
    assert not np.allclose(weighted, before, rtol=0.1)
