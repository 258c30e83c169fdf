"""Finds the tilt of a specimen: a plane through the defocus of the image's blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import HalfPlane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.refinement import OVERLAP_FACTOR, STEP_UNIT_ANGSTROM, FittedModel
from preprocess.ctf.samples import SpectrumSamples, polar_values
from preprocess.ctf.sectors import SmoothCourse, sector_sums
from preprocess.ctf.slope_search import search_slope
from preprocess.ctf.spectrum import BlockSpectra

STEPS = 5
LEAST_GAIN = 4.0
"""By how much more probable than none a slope must be in the search so that the blocks' defoci start from it."""
LONGEST_STEP_ANGSTROM = 150.0
LEVEL_SIGMA = 1.5
"""How far a block's defocus may lie off the whole's, in steps of 1000 Å, as a standard deviation."""
SIGNIFICANT_CHI2, SIGNIFICANT_GAIN, SUFFICIENT_GAIN = 30.0, 2.5, 20.0
"""A gain of the search is sufficient by itself: blocks may not have converged yet where the tilt is steep."""
STEEPEST_SLOPE = 1.8
UNEVEN_SHARE = 0.5
"""Measured: how much of the difference in defocus between the image's middle and the middle of what shows rings is
uncertain, because these lie unevenly within blocks as they do among them."""


@dataclass(frozen=True, slots=True)
class DefocusPlane:
    """Defocus over the image.

    Attributes
    ----------
    slope : NDArray[np.float64]
        dz/dy, dz/dx, Å per Å.
    chi2 : float
        Squared slope in units of its covariance; that follows from how far the blocks lie off the plane, if their own
        errors do not explain it.
    search_gain : float
        By how much more probable than none a slope is in the search.
    defocus, information : NDArray[np.float64]
        Of each block, Å, and 1 over its variance, 1/Å².
    blocks : NDArray[np.int64]
        Which blocks these are.
    error_if_flat, error_on_plane : float
        Standard error of the mean defocus, Å, that follows from how far the blocks lie off their mean, and off the
        plane, beyond what their own errors explain: specimens are bent, and carbon lies at another height than ice. On
        a plane, it is also the error of going from the middle of what shows rings to the image's middle.
    """

    slope: NDArray[np.float64]
    chi2: float
    search_gain: float
    defocus: NDArray[np.float64]
    information: NDArray[np.float64]
    blocks: NDArray[np.int64]
    error_if_flat: float
    error_on_plane: float

    @property
    def is_significant(self) -> bool:
        """Return whether the defocus varies over the image, at a slope that a specimen can have."""
        possible = float(np.hypot(*self.slope)) <= STEEPEST_SLOPE
        fitted = self.chi2 >= SIGNIFICANT_CHI2 and self.search_gain >= SIGNIFICANT_GAIN
        return possible and (fitted or self.search_gain >= SUFFICIENT_GAIN)

    @property
    def tilt_degrees(self) -> float:
        """Return the tilt of the specimen."""
        return float(np.degrees(np.arctan(np.hypot(*self.slope))))

    @property
    def axis_degrees(self) -> float:
        """Return the angle of the axis along which defocus does not change, from +x towards +y, above -90 up to 90."""
        angle = float(np.degrees(np.arctan2(self.slope[1], -self.slope[0])))
        return -((90 - angle) % 180 - 90)


def fit_plane(
    spectra: BlockSpectra,
    plane: HalfPlane,
    course: SmoothCourse,
    samples: SpectrumSamples,
    terms: PhaseTerms,
    fit: FittedModel,
    threads: RowThreads,
) -> DefocusPlane:
    """Find each block's own defocus, all else as it was fitted to the whole, and the plane through these."""
    blocks = np.flatnonzero(spectra.tile_counts > 0)
    tiles = spectra.tile_counts[blocks].astype(np.float64)
    sums = sector_sums(spectra.powers[blocks], plane, threads) / tiles[:, None, None]
    tiles = spectra.effective_counts[blocks]
    values = polar_values(sums, course, plane)
    centres = spectra.centres_angstrom[blocks]
    begin = search_slope(values, tiles, centres, samples, plane, course, terms, fit, threads)
    states = np.tile([fit.defocus, 1.0, 1.0], (len(blocks), 1))
    if begin.log_likelihood_gain > LEAST_GAIN:
        states[:, 0] += centres @ begin.slope
    equations, right = np.zeros((len(blocks), 3, 3)), np.zeros((len(blocks), 3))
    s = samples
    for _ in range(STEPS):
        threads.run(
            ctf_kernels.add_block_equations,
            (s.frequency, s.cos2, s.sin2, s.weight, s.basis, s.places),
            values,
            (terms.wavelength, terms.aberration, terms.contrast_phase, terms.frequency_step),
            fit.parameters,
            fit.linear,
            tiles,
            states,
            equations,
            right,
            rows=len(blocks),
        )
        matrix = equations.copy()
        matrix[:, 0, 0] += OVERLAP_FACTOR / tiles / LEVEL_SIGMA**2 + 1e-9
        matrix[:, 1, 1] += 0.02 * equations[:, 1, 1] + 1e-9
        matrix[:, 2, 2] += 1e-9
        change = np.linalg.solve(matrix, right[..., None])[..., 0]
        states[:, 0] += np.clip(change[:, 0] * STEP_UNIT_ANGSTROM, -LONGEST_STEP_ANGSTROM, LONGEST_STEP_ANGSTROM)
        states[:, 1] = np.clip(states[:, 1] + change[:, 1], 0.2, 3)
        states[:, 2] += change[:, 2]
    information = equations[:, 0, 0] * tiles / OVERLAP_FACTOR / STEP_UNIT_ANGSTROM**2
    return _through(states[:, 0], information, centres, blocks, begin.log_likelihood_gain)


def _through(
    defocus: NDArray[np.float64],
    information: NDArray[np.float64],
    centres: NDArray[np.float64],
    blocks: NDArray[np.int64],
    search_gain: float,
) -> DefocusPlane:
    """Return the plane through the blocks' defoci."""
    functions = np.concatenate([np.ones((len(blocks), 1)), centres], 1)
    weighted = functions * information[:, None]
    covariance = np.linalg.pinv(weighted.T @ functions + np.diag([0, 1e-9, 1e-9]))
    fitted = covariance @ (weighted.T @ defocus)
    off_plane = float(information @ (defocus - functions @ fitted) ** 2) / max(len(blocks) - 3, 1)
    slope = fitted[1:]
    away = float(information @ (centres @ slope)) / max(float(information.sum()), 1e-12)
    chi2 = float(slope @ np.linalg.pinv(covariance[1:, 1:]) @ slope) / max(off_plane, 1.0)
    return DefocusPlane(
        slope,
        chi2,
        search_gain,
        defocus,
        information,
        blocks,
        error_if_flat=_error_of_mean(defocus, information, functions[:, :1]),
        error_on_plane=float(np.hypot(_error_of_mean(defocus, information, functions), UNEVEN_SHARE * away)),
    )


def _error_of_mean(
    defocus: NDArray[np.float64], information: NDArray[np.float64], functions: NDArray[np.float64]
) -> float:
    """Return the part of the mean's standard error that the blocks' own errors do not explain.

    The variance between blocks is that of DerSimonian and Laird 1986, Control. Clin. Trials 7, 177; it counts where
    chance makes as much in one case of forty at most.
    """
    freedom = len(defocus) - functions.shape[1]
    total = float(information.sum())
    if freedom < 1 or total <= 0:
        return 0.0
    root = np.sqrt(information)
    fitted = functions @ np.linalg.lstsq(functions * root[:, None], defocus * root, rcond=None)[0]
    chi2 = float(information @ (defocus - fitted) ** 2)
    if chi2 <= freedom + 2 * np.sqrt(2 * freedom):
        return 0.0
    squares = float(information @ information)
    between = (chi2 - freedom) / max(total - squares / total, 1e-12)
    return float(np.sqrt(between * squares)) / total


def without_tilt(
    spectra: BlockSpectra, found: DefocusPlane, defocus: float, threads: RowThreads
) -> NDArray[np.float32]:
    """Return the mean spectrum of the blocks, each rescaled in frequency as if its defocus were that of the centre.

    The rings of defocus z + dz lie at k where those of z lie at k sqrt((z + dz) / z), but for the spherical aberration.
    """
    apart = spectra.centres_angstrom[found.blocks] @ found.slope
    factors = np.sqrt(defocus / np.maximum(defocus + apart, 0.3 * defocus)).astype(np.float32)
    total = np.zeros(spectra.powers.shape[1:], np.float32)
    threads.run(ctf_kernels.rescale_spectra, spectra.powers[found.blocks], factors, total, rows=len(total))
    return total / np.float32(spectra.tile_count)
