"""Looks for the defocus over the whole range: a matched filter for each sector, then astigmatism on a grid.

It needs no start. Sectors of 1D profiles are steadier for astigmatism than 2D fits (Ctfplotter does so too: Mastronarde
2024, J. Struct. Biol. 216, 108057).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import SECTORS, HalfPlane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.refinement import OVERLAP_FACTOR, FittedModel
from preprocess.ctf.samples import SpectrumSamples
from preprocess.ctf.sectors import SmoothCourse

WIDE_SECTORS = SECTORS // 2
FALLOFFS_A2 = (0.0, 40.0, 120.0, 300.0)
"""Envelopes exp(-b k² / 2) of the templates."""
DEVIATIONS_KEPT = 6.0
ASTIGMATISM_COST = 60.0
"""What astigmatism costs in the first search, per unit of (U - V) / (U + V)."""
CANDIDATES = 7
SIZES = (0.008, 0.016, 0.03, 0.045, 0.06, 0.08, 0.1)
DIRECTIONS = 16


@dataclass(frozen=True, slots=True)
class CtfCandidate:
    """A CTF that may be right: `parameters` as `model` has them."""

    score: float
    parameters: NDArray[np.float64]

    @property
    def defocus(self) -> float:
        """Return the mean defocus, Å."""
        return float(self.parameters[0])


@dataclass(frozen=True, slots=True)
class SectorProfiles:
    """Power over its smooth course, less 1, in sectors of ten degrees.

    Attributes
    ----------
    frequency : NDArray[np.float64]
        Of the rings that are fitted, shape (n,), 1/Å.
    deviation, sizes : NDArray[np.float64]
        And how many pixels each is the mean of, shape (WIDE_SECTORS, n).
    """

    frequency: NDArray[np.float64]
    deviation: NDArray[np.float64]
    sizes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SearchRange:
    """Where the defocus is looked for: from `lowest` to `highest`, Å, with each of the phase shifts, rad."""

    lowest: float
    highest: float
    phase_shifts: tuple[float, ...]

    def defoci(self, terms: PhaseTerms, highest_frequency: float, turn: float) -> NDArray[np.float64]:
        """Return defoci at most 100 Å apart; chi turns by no more than `turn` rad from one to the next."""
        step = min(turn / (np.pi * terms.wavelength * highest_frequency**2), 100.0)
        return np.arange(self.lowest, self.highest + step, step)


def sector_profiles(sums: NDArray[np.float64], course: SmoothCourse, plane: HalfPlane, step: float) -> SectorProfiles:
    """Return the profiles of wide sectors. sums: power by narrow sector and ring, shape (SECTORS, r + 1)."""
    first = plane.first_ring
    power, sizes = (x[:, first:].reshape(WIDE_SECTORS, 2, -1).sum(1) for x in (sums, plane.bin_sizes))
    deviation = np.where(sizes > 0, power / np.maximum(sizes, 1) / course.power[first:-1] - 1, 0.0)
    return SectorProfiles(_frequencies(first, plane, step), deviation, sizes)


def _frequencies(first: int, plane: HalfPlane, step: float) -> NDArray[np.float64]:
    return np.arange(first, plane.radius + 1).astype(np.float64) * step


def search(
    profiles: SectorProfiles, course: SmoothCourse, terms: PhaseTerms, where: SearchRange, threads: RowThreads
) -> list[CtfCandidate]:
    """Return the best candidates, best first, all far from each other.

    The score is the correlation with templates of some envelopes, the smooth course projected out of both.
    """
    weight = np.sqrt(profiles.sizes.mean(0))
    axes = np.linalg.qr(course.functions * weight[:, None])[0]
    data = _whitened(profiles.deviation * weight, axes)
    square = profiles.frequency**2
    envelopes = np.exp(-np.array(FALLOFFS_A2)[:, None] * square / 2) * weight
    kept = data - (data @ axes) @ axes.T
    columns = np.concatenate([part[:, None] * np.concatenate([axes, kept.T], 1) for part in envelopes], 1)
    defoci = where.defoci(terms, float(profiles.frequency[-1]), 0.45)
    found: list[CtfCandidate] = []
    for phase in where.phase_shifts:
        products = _products(profiles, terms, defoci, phase, columns, (envelopes**2).T, threads)
        scores = _best_envelope(products, envelopes, axes.shape[1])
        found += _with_astigmatism(scores, defoci, phase, ASTIGMATISM_COST, _grid(), threads)
    return _apart(found)


def search_again(
    profiles: SectorProfiles,
    fit: FittedModel,
    samples: SpectrumSamples,
    terms: PhaseTerms,
    where: SearchRange,
    tile_count: float,
    threads: RowThreads,
) -> list[CtfCandidate]:
    """Search with the background and envelope that were fitted: scores are log-likelihood ratios, best first."""
    background, envelope = samples.curves(fit.linear, profiles.frequency)
    background = np.maximum(background, 0.2)
    deviation = np.clip((profiles.deviation + 1) / background - 1, -0.5, 0.5)
    weight = profiles.sizes * (tile_count / OVERLAP_FACTOR)
    relative = envelope / background
    columns = (weight * deviation * relative).T
    defoci = where.defoci(terms, float(profiles.frequency[-1]), 0.35)
    found: list[CtfCandidate] = []
    for phase in where.phase_shifts:
        products = _products(profiles, terms, defoci, phase, columns, (weight * relative**2).T, threads)
        scores = products[:, :WIDE_SECTORS] - 0.5 * products[:, WIDE_SECTORS:]
        found += _with_astigmatism(scores, defoci, phase, 0.0, _grid(), threads)
    return sorted(found, key=lambda candidate: -candidate.score)


def _whitened(data: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return data (sectors, n) without the smooth course, in units of their noise, outliers clipped."""
    data = data - (data @ axes) @ axes.T
    noise = 1.4826 * float(np.median(np.abs(np.diff(data, axis=1)))) / np.sqrt(2) + 1e-12
    clipped: NDArray[np.float64] = np.clip(data / noise, -DEVIATIONS_KEPT, DEVIATIONS_KEPT)
    return clipped


def _products(
    profiles: SectorProfiles,
    terms: PhaseTerms,
    defoci: NDArray[np.float64],
    phase: float,
    columns: NDArray[np.float64],
    squares: NDArray[np.float64],
    threads: RowThreads,
) -> NDArray[np.float64]:
    square = profiles.frequency**2
    products = np.empty((len(defoci), columns.shape[1] + squares.shape[1]))
    threads.run(
        ctf_kernels.correlate_templates,
        defoci,
        square,
        terms.aberration * square**2,
        phase + terms.contrast_phase,
        terms.wavelength,
        terms.frequency_step,
        np.ascontiguousarray(columns),
        np.ascontiguousarray(squares),
        products,
        rows=len(defoci),
    )
    return products


def _best_envelope(
    products: NDArray[np.float64], envelopes: NDArray[np.float64], axis_count: int
) -> NDArray[np.float64]:
    """Return each defocus' correlations with the sectors, by the envelope whose sum is the largest."""
    envelope_count = len(envelopes)
    by_envelope = products[:, :-envelope_count].reshape(len(products), envelope_count, -1)
    smooth, data = by_envelope[..., :axis_count], by_envelope[..., axis_count:]
    norm = np.sqrt(np.maximum(products[:, -envelope_count:] - (smooth**2).sum(2), 0))
    least = np.sqrt((envelopes**2).sum(1) * 0.08)  # templates that are mostly smooth tell little
    scores = data * (np.minimum(1, norm / least) / np.maximum(norm, 1e-9))[..., None]
    best = scores.sum(2).argmax(1)
    chosen: NDArray[np.float64] = scores[np.arange(len(scores)), best]
    return chosen


def _grid() -> NDArray[np.float64]:
    """Return the astigmatisms that are tried, over the defocus: (n, 2)."""
    angle = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([np.zeros((1, 2)), *(size * circle for size in SIZES)])


def _with_astigmatism(
    scores: NDArray[np.float64],
    defoci: NDArray[np.float64],
    phase: float,
    cost: float,
    grid: NDArray[np.float64],
    threads: RowThreads,
) -> list[CtfCandidate]:
    """Return the highest peaks over the defocus, each with its best astigmatism."""
    angle = 2 * ((np.arange(WIDE_SECTORS) + 0.5) / WIDE_SECTORS - 0.5) * np.pi
    best, chosen = np.empty(len(defoci)), np.empty(len(defoci), np.int64)
    threads.run(
        ctf_kernels.search_astigmatism,
        np.ascontiguousarray(scores),
        defoci[0],
        defoci[1] - defoci[0],
        cost,
        grid,
        np.cos(angle),
        np.sin(angle),
        best,
        chosen,
        rows=len(defoci),
    )
    around = np.lib.stride_tricks.sliding_window_view(np.pad(best, 3, constant_values=-np.inf), 7).max(1)
    peaks = np.flatnonzero(best >= around)
    peaks = peaks[np.argsort(-best[peaks], kind="stable")][:8]
    return [
        CtfCandidate(float(best[at]), np.array([defoci[at], *(grid[chosen[at]] * defoci[at]), phase])) for at in peaks
    ]


def _apart(found: Sequence[CtfCandidate]) -> list[CtfCandidate]:
    kept: list[CtfCandidate] = []
    for candidate in sorted(found, key=lambda candidate: -candidate.score):
        if all(
            abs(candidate.defocus - other.defocus) > max(0.04 * other.defocus, 250)
            or abs(candidate.parameters[3] - other.parameters[3]) > 0.6
            for other in kept
        ):
            kept.append(candidate)
        if len(kept) == CANDIDATES:
            break
    return kept
