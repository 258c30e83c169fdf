"""How far a fit holds: fit resolution and score as CTFFIND defines them, and the radial profile they are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.estimate import RadialProfile
from preprocess.ctf.half_plane import HalfPlane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import PhaseTerms, window_transfer
from preprocess.ctf.refinement import FittedModel
from preprocess.ctf.samples import SpectrumSamples

PARTS = 16
CORRELATED, BARELY, NOT_CORRELATED = 0.66, 0.5, 0.1
"""CTFFIND's: the fit ends where the local correlation falls below `BARELY` after more than three bins above
`CORRELATED`, or below `NOT_CORRELATED` after more than three above it."""
SCORED_FROM_PER_ANGSTROM, SCORED_TO_PER_ANGSTROM = 1 / 30, 1 / 5


@dataclass(frozen=True, slots=True)
class FitMerit:
    """How far a fit holds."""

    fit_resolution_angstrom: float
    score: float
    profile: RadialProfile


def fit_merit(
    samples: SpectrumSamples,
    plane: HalfPlane,
    terms: PhaseTerms,
    fit: FittedModel,
    plain: NDArray[np.float64],
    threads: RowThreads,
) -> FitMerit:
    """Return fit resolution, score and profile.

    Parameters
    ----------
    samples : SpectrumSamples
        The spectrum's pixels.
    plain : NDArray[np.float64]
        Power averaged over circles, by ring from 0 to r.
    """
    frequency = np.arange(plane.radius + 1).astype(np.float64) * terms.frequency_step
    background, envelope = samples.curves(fit.linear, frequency)
    background = np.maximum(background, 0.15)
    average = _equiphase_average(samples, plane, terms, fit, threads)
    phase = terms.chi(frequency, fit.defocus, float(fit.parameters[3]))
    turn = 2 * np.gradient(phase)
    ctf_squared = np.sin(phase) ** 2
    agreement = _local_correlation(average, ctf_squared, phase, plane.first_ring)
    last = _last_bin(agreement, plane.first_ring)
    profile = RadialProfile(
        frequency_per_angstrom=frequency,
        measured=average / background,
        fitted=1 - envelope / background * window_transfer(turn) * np.cos(2 * phase),
        ctf_squared=ctf_squared,
        agreement=agreement,
        plain=plain,
    )
    return FitMerit(1 / (last * terms.frequency_step), _score(frequency, average, ctf_squared, plane), profile)


def _equiphase_average(
    samples: SpectrumSamples, plane: HalfPlane, terms: PhaseTerms, fit: FittedModel, threads: RowThreads
) -> NDArray[np.float64]:
    """Return the spectrum over its smooth course averaged along lines of equal phase; 1 where there is none."""
    sums, counts = np.zeros((2, PARTS, plane.radius + 1))
    threads.run(
        ctf_kernels.equiphase_sums,
        samples.value,
        samples.weight,
        plane.rings,
        plane.cos2,
        plane.sin2,
        fit.parameters,
        terms.wavelength,
        terms.aberration,
        terms.frequency_step,
        sums,
        counts,
        rows=PARTS,
    )
    total, count = sums.sum(0), counts.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), 1.0)


def _local_correlation(
    average: NDArray[np.float64], expected: NDArray[np.float64], phase: NDArray[np.float64], first: int
) -> NDArray[np.float64]:
    """Return the correlation of two profiles around each bin, each less its own straight line.

    The window reaches one distance of the CTF's zeros to either side, and at least 1/40 of the corner's frequency.
    """
    last = len(average) - 1
    zero_distance = np.pi / np.maximum(np.abs(np.gradient(phase)), 1e-6)
    reach = np.clip(np.maximum(zero_distance, last * np.sqrt(2) / 40), 3, last / 3).astype(int)
    correlation = np.ones(last + 1)
    for at in range(first, last + 1):
        low, high = max(first, at - reach[at]), min(last, at + reach[at])
        if high - low < 5:
            correlation[at] = 0
            continue
        one, other = _less_line(average[low : high + 1]), _less_line(expected[low : high + 1])
        correlation[at] = one @ other / np.sqrt((one @ one) * (other @ other) + 1e-30)
    return correlation


def _less_line(values: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.arange(len(values)) - (len(values) - 1) / 2
    centred = values - values.mean()
    less: NDArray[np.float64] = centred - x * ((x @ centred) / (x @ x))
    return less


def _last_bin(agreement: NDArray[np.float64], first: int) -> int:
    """Return the first bin at which the fit does not hold; the first one of all if it never does."""
    good = fair = 0
    last = first
    for at in range(first, len(agreement)):
        last = at
        if (fair > 3 and agreement[at] < NOT_CORRELATED) or (good > 3 and agreement[at] < BARELY):
            break
        fair += agreement[at] > NOT_CORRELATED
        good += agreement[at] > CORRELATED
    return last if good else first


def _score(
    frequency: NDArray[np.float64], average: NDArray[np.float64], expected: NDArray[np.float64], plane: HalfPlane
) -> float:
    """Return the correlation of two profiles between 30 and 5 Å, weighted by frequency."""
    step = frequency[1]
    low = max(plane.first_ring, int(SCORED_FROM_PER_ANGSTROM / step))
    high = min(plane.radius, int(SCORED_TO_PER_ANGSTROM / step))
    weight = frequency[low:high]
    one, other = (x[low:high] - np.average(x[low:high], weights=weight) for x in (average, expected))
    norm = np.sqrt((weight * one * one).sum() * (weight * other * other).sum() + 1e-30)
    return float((weight * one * other).sum() / norm)
