"""CTF's kernels in C and numba's of the same names give the same, to the tolerances that each test states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.backends.compiled.available import compiled_kernels
from preprocess.ctf.half_plane import SECTORS, HalfPlane, half_plane
from preprocess.ctf.kernel_set import CtfKernelSet
from preprocess.ctf.model import BACKGROUND, BACKGROUND_RING, ENVELOPE, ENVELOPE_RING, PARAMETERS
from preprocess.ctf.samples import SpectrumSamples, pixel_samples, polar_samples
from preprocess.ctf.sectors import SmoothCourse

PLAIN = CtfKernelSet("numba")
STEP = 0.004
"""Between pixels, 1/Å: the spectra end at 2.8 Å."""
RADIUS = 90
TERMS = (0.0197, 102.0, 0.1, STEP)
"""Of 300 kV and 2.7 mm."""
PARAMETERS_AT = np.array([12345.0, 310.0, -170.0, 0.3])
SINGLE = 3e-5
"""Of the largest value: phases of 200 rad in single precision, and what they make of cos and sin."""
DOUBLE = 1e-9


@pytest.fixture
def in_c() -> Iterator[Any]:
    kernels = compiled_kernels()
    if kernels is None:
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    return kernels


def agree(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    """Fail if values differ by more than a tolerance times the largest one, or if there is none but zero."""
    largest = np.abs(expected).max()
    assert largest > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


Call = Callable[[Any, int, int], tuple[NDArray[Any], ...]]


def same_in_parts(in_c: Any, call: Call, rows: int) -> tuple[NDArray[Any], ...]:
    """Return what C makes of all rows; fail if it makes anything else of them in two parts, to the bit."""
    whole, cut = call(in_c, 0, rows), rows // 3
    first, second = call(in_c, 0, cut), call(in_c, cut, rows)
    for one, before, after in zip(whole, first, second, strict=True):
        np.testing.assert_array_equal(before[:cut], one[:cut])
        np.testing.assert_array_equal(after[cut:], one[cut:])
    return whole


def both(in_c: Any, call: Call, rows: int, tolerance: float) -> tuple[NDArray[Any], ...]:
    """Return what C makes of all rows; fail if numba makes anything else of them, beyond a tolerance."""
    found = same_in_parts(in_c, call, rows)
    for one, other in zip(found, call(PLAIN, 0, rows), strict=True):
        agree(one, other, tolerance)
    return found


def plane() -> HalfPlane:
    return half_plane(RADIUS, 9)


def spectrum(seed: int = 1) -> NDArray[np.float32]:
    """Return a half spectrum of noise, with a few pixels that are much too large."""
    random = np.random.default_rng(seed)
    power = random.gamma(8, 1 / 8, (2 * RADIUS + 1, RADIUS + 1)).astype(np.float32)
    power.ravel()[random.integers(0, power.size, 40)] *= 50
    return power


def samples_of(kind: str) -> SpectrumSamples:
    course = SmoothCourse(np.ones(RADIUS + 2), np.ones((1, 1)))
    if kind == "pixels":
        return pixel_samples(spectrum(), course, plane(), STEP)
    sums = plane().bin_sizes * np.random.default_rng(2).gamma(20, 1 / 20, (SECTORS, RADIUS + 1))
    return polar_samples(sums, course, plane(), STEP)


def coefficients() -> NDArray[np.float64]:
    random = np.random.default_rng(3)
    linear = np.zeros(PARAMETERS)
    linear[BACKGROUND:BACKGROUND_RING] = random.uniform(0.7, 1.2, BACKGROUND_RING - BACKGROUND)
    linear[ENVELOPE:ENVELOPE_RING] = random.uniform(-0.1, 0.6, ENVELOPE_RING - ENVELOPE)
    linear[[BACKGROUND_RING, ENVELOPE_RING]] = 0.2, 0.1
    return linear


def test_sums_of_bins(in_c: Any) -> None:
    """The same bits: sums are taken in the same order."""
    powers = np.stack([spectrum(seed).ravel() for seed in range(5)])
    found, expected = np.zeros((2, 5, SECTORS * (RADIUS + 1)))
    for kernels, sums in ((in_c, found), (PLAIN, expected)):
        kernels.sum_bins(powers, plane().bins.ravel(), sums, 1, 4)
    np.testing.assert_array_equal(found, expected)
    assert found[1:4].sum() > 0
    assert found[[0, 4]].sum() == 0


@pytest.mark.parametrize("aberration", [0.0, 102.0])
@pytest.mark.parametrize(("width", "extra", "defoci"), [(104, 4, 41), (18, 18, 6), (7, 1, 1)])
def test_templates(in_c: Any, aberration: float, width: int, extra: int, defoci: int) -> None:
    """To 1e-9 of the largest; windows that leave nothing of the rings are among the defoci."""
    random = np.random.default_rng(4)
    squared = (np.arange(9, RADIUS + 1) * STEP) ** 2
    columns, squares = random.normal(0, 1, (len(squared), width)), random.uniform(0, 1, (len(squared), extra))
    tried = np.linspace(1000, 90_000, defoci)

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        products = np.full((defoci, width + extra), 7.0)
        work = (tried, squared, aberration * squared**2, 0.37, 0.0197, STEP, columns, squares, products)
        kernels.correlate_templates(*work, start, stop)
        return (products,)

    both(in_c, call, defoci, DOUBLE)


def test_astigmatism(in_c: Any) -> None:
    """The same places of the grid, and scores to 1e-9, at the ends of the table too, where sectors are missing."""
    random = np.random.default_rng(5)
    sectors, defoci, first, step = 18, 300, 1500.0, 60.0
    angle = 2 * np.pi * np.arange(sectors) / sectors
    directions = np.arange(16) * np.pi / 8
    circle = np.stack([np.cos(directions), np.sin(directions)], 1)
    grid = np.concatenate([np.zeros((1, 2)), *(size * circle for size in (0.02, 0.06, 0.3, 0.7))])
    scores = random.normal(0, 1, (defoci, sectors))

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        best, chosen = np.full(defoci, 7.0), np.full(defoci, -1)
        kernels.search_astigmatism(
            scores, first, step, 3.0, grid, np.cos(angle), np.sin(angle), best, chosen, start, stop
        )
        return best, chosen

    best, chosen = both(in_c, call, defoci, DOUBLE)
    assert len(set(chosen)) > 30
    assert (best == -1e9).sum() == 1


def test_rescaled_spectra(in_c: Any) -> None:
    """To 1e-6 of the largest: sums are in single precision. Factors reach beyond the spectrum's ends."""
    powers = np.stack([spectrum(seed) for seed in range(3)])
    factors = np.array([0.83, 1.0, 1.31], np.float32)

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        total = np.ones(powers.shape[1:], np.float32)
        kernels.rescale_spectra(powers, factors, total, start, stop)
        return (total,)

    both(in_c, call, 2 * RADIUS + 1, 1e-6)


@pytest.mark.parametrize("aberration", [0.0, 102.0, 1.5e4])
def test_sums_along_lines_of_equal_phase(in_c: Any, aberration: float) -> None:
    """All samples but one in 5000 in the same ring: few lie on the border of two. 1.5e4: phases turn back."""
    samples = samples_of("pixels")
    rings = samples.frequency / np.float32(STEP)

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        sums, counts = np.zeros((2, 7, RADIUS + 1))
        kernels.equiphase_sums(
            samples.value, samples.weight, rings, samples.cos2, samples.sin2, PARAMETERS_AT, 0.0197, aberration, STEP,
            sums, counts, start, stop,
        )  # fmt: skip
        return sums, counts

    sums, counts = call(in_c, 0, 7)
    expected, expected_counts = call(PLAIN, 0, 7)
    assert expected_counts.sum() > 0.8 * len(samples.value)
    assert np.abs(counts - expected_counts).sum() <= 2 * len(samples.value) / 5000
    np.testing.assert_allclose(sums.sum(), expected.sum(), rtol=1e-4)
    same = counts == expected_counts
    np.testing.assert_allclose(sums[same], expected[same], rtol=1e-12)
    np.testing.assert_array_equal(call(in_c, 2, 3)[0][2], sums[2])


def test_curves_of_blocks(in_c: Any) -> None:
    """To 1e-9 of the largest; slopes lead beyond the table of defoci."""
    random = np.random.default_rng(6)
    found, norms = random.normal(-0.25, 1, (50, 5, 9)), random.uniform(0.5, 2, (50, 5))
    tiles, centres, slopes = random.uniform(1, 9, 9), random.normal(0, 900, (9, 2)), random.normal(0, 0.5, (30, 2))

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        gains = np.full(30, 7.0)
        kernels.add_block_curves(found, norms, tiles, centres, slopes, 8000.0, 40.0, 9000.0, gains, start, stop)
        return (gains,)

    (gains,) = both(in_c, call, 30, DOUBLE)
    assert 0 < (gains == 0).sum() < 20


def test_bases(in_c: Any) -> None:
    """The same places; splines and rings to the rounding of single precision, beyond both ends too."""
    frequency = np.linspace(0, 0.5, 1001).astype(np.float32)

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        basis, places = np.full((1001, 10), 7, np.float32), np.full((1001, 2), 7, np.int32)
        kernels.write_bases(frequency, 0.03, 0.36, basis, places, start, stop)
        return places, basis

    both(in_c, call, 1001, 2e-7)


@pytest.mark.parametrize("kind", ["pixels", "sectors"])
@pytest.mark.parametrize("free", [0, 1, 2])
@pytest.mark.parametrize("parts", [1, 16])
def test_normal_equations(in_c: Any, kind: str, free: int, parts: int) -> None:
    """To 3e-5 of their diagonals; with one part, sums of more than 512 samples of the same splines."""
    samples = samples_of(kind)
    linear = coefficients()

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        equations, right = np.zeros((parts, PARAMETERS, PARAMETERS)), np.zeros((parts, PARAMETERS))
        figures = np.full((parts, 2), 7.0)
        work = (samples.arrays, TERMS, PARAMETERS_AT, linear, free, 1.3, equations, right, figures)
        kernels.add_normal_equations(*work, start, stop)
        return equations, right, figures

    equations, right, figures = (found.sum(0) for found in same_in_parts(in_c, call, parts))
    expected, expected_right, expected_figures = (found.sum(0) for found in call(PLAIN, 0, parts))
    size = np.sqrt(expected.diagonal())
    assert (size[:4] > 0).tolist() == [free > 0] * 3 + [free > 1]
    assert (size[BACKGROUND:] > 0).all()
    assert (np.abs(equations - expected) <= SINGLE * np.outer(size, size)).all()
    residuals = np.sqrt(len(samples.value))
    assert (np.abs(right - expected_right) <= SINGLE * size * residuals).all()
    np.testing.assert_allclose(figures, expected_figures, rtol=SINGLE)


def test_equations_are_added_to_what_is_there(in_c: Any) -> None:
    samples, figures = samples_of("sectors"), np.zeros((1, 2))
    found = []
    for level in (0.0, 5.0):
        equations, right = np.full((1, PARAMETERS, PARAMETERS), level), np.full((1, PARAMETERS), level)
        work = (samples.arrays, TERMS, PARAMETERS_AT, coefficients(), 2, 1.3, equations, right, figures)
        in_c.add_normal_equations(*work, 0, 1)
        found.append(np.concatenate([equations.ravel(), right.ravel()]))
    np.testing.assert_allclose(found[1] - 5, found[0], rtol=1e-9, atol=1e-8)


def test_samples_that_are_no_numbers_do_not_reach_the_equations_of_others(in_c: Any) -> None:
    """A part with NaN has NaN; all others are as they were."""
    samples = samples_of("sectors")
    spoilt = samples.value.copy()
    spoilt[len(spoilt) // 2] = np.nan
    work = TERMS, PARAMETERS_AT, coefficients(), 1, 1.3
    found = []
    for value in (samples.value, spoilt):
        equations, right = np.zeros((4, PARAMETERS, PARAMETERS)), np.zeros((4, PARAMETERS))
        figures = np.zeros((4, 2))
        in_c.add_normal_equations(replace(samples, value=value).arrays, *work, equations, right, figures, 0, 4)
        found.append(np.concatenate([equations.reshape(4, -1), right, figures], 1))
    np.testing.assert_array_equal(np.flatnonzero((found[0] != found[1]).any(1)), [2])


def test_equations_of_blocks(in_c: Any) -> None:
    """To 3e-5 of the largest: phases are in single precision."""
    samples, random = samples_of("sectors"), np.random.default_rng(7)
    values = random.gamma(5, 1 / 5, (9, len(samples.value))).astype(np.float32)
    arrays = (samples.frequency, samples.cos2, samples.sin2, samples.weight, samples.basis, samples.places)
    states = np.stack([random.normal(12345, 300, 9), random.uniform(0.5, 1.5, 9), random.uniform(0.9, 1.1, 9)], 1)
    tiles = random.uniform(0.01, 20, 9)

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        equations, right = np.full((9, 3, 3), 7.0), np.full((9, 3), 7.0)
        work = (arrays, values, TERMS, PARAMETERS_AT, coefficients(), tiles, states, equations, right)
        kernels.add_block_equations(*work, start, stop)
        return equations[:, 0], equations[:, 1:, 1:], right[:, 0], right[:, 1:]

    both(in_c, call, 9, SINGLE)


@pytest.mark.parametrize("kind", ["pixels", "sectors"])
def test_drawn_model(in_c: Any, kind: str) -> None:
    """To 3e-5 of the largest: phases are in single precision."""
    samples = samples_of(kind)

    def call(kernels: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        measured, fitted = np.full((2, len(samples.value)), 7, np.float32)
        kernels.draw_model(samples.arrays, TERMS, PARAMETERS_AT, coefficients(), measured, fitted, start, stop)
        return measured, fitted

    both(in_c, call, len(samples.value), SINGLE)


def test_every_kernel_that_estimation_calls_is_in_c(in_c: Any) -> None:
    called = {
        name
        for path in (Path(__file__).parents[3] / "preprocess/ctf").glob("*.py")
        for name in re.findall(r"ctf_kernels\.([a-z]\w*)", path.read_text("utf-8"))
    }
    assert len(called) == 10
    assert [name for name in sorted(called) if not hasattr(in_c, name) or not hasattr(PLAIN, name)] == []


def test_arrays_with_gaps_never_reach_a_kernel(in_c: Any) -> None:
    powers, bins = np.ones((2, 8), np.float32), np.zeros(4, np.int32)
    with pytest.raises(ValueError, match="contiguous"):
        in_c.sum_bins(powers[:, ::2], bins, np.zeros((2, 1)), 0, 2)
    with pytest.raises(TypeError):
        in_c.sum_bins(powers, bins.astype(np.int64), np.zeros((2, 1)), 0, 2)
