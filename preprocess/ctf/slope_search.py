"""Looks for the slope of a specimen over the whole range of tilts, from how the blocks' rings differ.

Each block's profile is compared with the rings of all defoci around the whole's; the curves of all blocks are added up
for every slope. So a tilt is found that is too steep for the blocks' own defoci to be found one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import HalfPlane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.refinement import OVERLAP_FACTOR, FittedModel
from preprocess.ctf.samples import SpectrumSamples
from preprocess.ctf.sectors import SmoothCourse

FALLOFFS_A2 = (0.0, 60.0, 200.0, 600.0, 1500.0)
"""Envelopes exp(-b k² / 2) of the rings: a tilt blurs them within each tile."""
STEEPEST = 1.75
"""Tangent of the largest tilt, 60 degrees."""
SLOPES_ALONG = 71
TURN = 0.4
DEVIATIONS_KEPT = 6.0


@dataclass(frozen=True, slots=True)
class FoundSlope:
    """The most probable slope (dz/dy, dz/dx), Å per Å, and by how much more probable it is than none."""

    slope: NDArray[np.float64]
    log_likelihood_gain: float


def search_slope(
    values: NDArray[np.float32],
    tiles: NDArray[np.float64],
    centres: NDArray[np.float64],
    samples: SpectrumSamples,
    plane: HalfPlane,
    course: SmoothCourse,
    terms: PhaseTerms,
    fit: FittedModel,
    threads: RowThreads,
) -> FoundSlope:
    """Return the slope.

    Parameters
    ----------
    values : NDArray[np.float32]
        Each block's power over the smooth course at the samples' places, shape (blocks, samples).
    tiles, centres : NDArray[np.float64]
        How many tiles each block has (blocks), and where its middle is (blocks, 2), Å.
    """
    profiles, sizes = _block_profiles(values, samples, plane, terms, fit, threads)
    first = plane.first_ring
    frequency = np.arange(first, plane.radius + 1).astype(np.float64) * terms.frequency_step
    background = np.maximum(samples.curves(fit.linear, frequency)[0], 0.2)
    weight = np.sqrt(sizes / OVERLAP_FACTOR)
    axes = np.linalg.qr(course.functions * weight[:, None])[0]
    data = np.where(sizes > 0, profiles / background - 1, 0) * weight * np.sqrt(tiles)[:, None]
    data = np.clip(data - (data @ axes) @ axes.T, -DEVIATIONS_KEPT, DEVIATIONS_KEPT)
    data -= (data @ axes) @ axes.T
    square = frequency**2
    envelopes = np.exp(-np.array(FALLOFFS_A2)[:, None] * square / 2) * weight
    columns = np.concatenate([part[:, None] * np.concatenate([axes, data.T], 1) for part in envelopes], 1)
    defoci = _defoci(fit.defocus, centres, terms, float(frequency[-1]))
    products = np.empty((len(defoci), columns.shape[1] + len(envelopes)))
    threads.run(
        ctf_kernels.correlate_templates, defoci, square, terms.aberration * square**2,
        float(fit.parameters[3]) + terms.contrast_phase, terms.wavelength, terms.frequency_step,
        np.ascontiguousarray(columns), np.ascontiguousarray((envelopes**2).T), products, rows=len(defoci),
    )  # fmt: skip
    by_envelope = products[:, : -len(envelopes)].reshape(len(defoci), len(envelopes), -1)
    smooth, found = by_envelope[..., : axes.shape[1]], by_envelope[..., axes.shape[1] :]
    norms = np.maximum(products[:, -len(envelopes) :] - (smooth**2).sum(2), 1e-9)
    return _best_slope(found * np.sqrt(tiles), norms, tiles, centres, defoci, fit.defocus, threads)


def _block_profiles(
    values: NDArray[np.float32],
    samples: SpectrumSamples,
    plane: HalfPlane,
    terms: PhaseTerms,
    fit: FittedModel,
    threads: RowThreads,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each block's power averaged along lines of equal phase (blocks, n), and of how many pixels (n)."""
    sums, counts = np.zeros((2, len(values), plane.radius + 1))
    threads.run(
        _equiphase_rows, values, samples, samples.frequency / np.float32(terms.frequency_step), fit.parameters, terms,
        sums, counts, rows=len(values),
    )  # fmt: skip
    first = plane.first_ring
    return sums[:, first:] / np.maximum(counts[:, first:], 1), counts[0, first:]


def _equiphase_rows(
    values: NDArray[np.float32],
    samples: SpectrumSamples,
    rings: NDArray[np.float32],
    parameters: NDArray[np.float64],
    terms: PhaseTerms,
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    for row in range(start, stop):
        ctf_kernels.equiphase_sums(
            values[row], samples.weight, rings, samples.cos2, samples.sin2, parameters, terms.wavelength,
            terms.aberration, terms.frequency_step, sums[row : row + 1], counts[row : row + 1], 0, 1,
        )  # fmt: skip


def _defoci(
    middle: float, centres: NDArray[np.float64], terms: PhaseTerms, highest_frequency: float
) -> NDArray[np.float64]:
    """Return the defoci that a block may have, evenly spaced around the whole's."""
    reach = STEEPEST * float(np.hypot(*centres.T).max())
    step = TURN / (np.pi * terms.wavelength * highest_frequency**2)
    count = int(np.ceil(reach / step)) + 1
    return middle + step * np.arange(-count, count + 1).astype(np.float64)


def _best_slope(
    found: NDArray[np.float64],
    norms: NDArray[np.float64],
    tiles: NDArray[np.float64],
    centres: NDArray[np.float64],
    defoci: NDArray[np.float64],
    middle: float,
    threads: RowThreads,
) -> FoundSlope:
    steps = np.linspace(-STEEPEST, STEEPEST, SLOPES_ALONG)
    slopes = np.stack([grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij")], 1)
    slopes = slopes[np.hypot(*slopes.T) <= STEEPEST + 1e-9]
    gains = np.empty(len(slopes))
    work = (np.ascontiguousarray(found), norms, tiles, centres, slopes, defoci[0], defoci[1] - defoci[0], middle)
    threads.run(ctf_kernels.add_block_curves, *work, gains, rows=len(slopes))
    best, flat = int(gains.argmax()), int(np.hypot(*slopes.T).argmin())
    return FoundSlope(slopes[best], float(gains[best] - gains[flat]))
