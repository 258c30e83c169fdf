"""A spectrum averaged over sectors of its rings, and its smooth radial course."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import SECTORS, HalfPlane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import WATER_RING_PER_ANGSTROM, water_ring

COURSE_DEGREE = 6
"""Of the polynomial that describes the logarithm of the smooth course."""


@dataclass(frozen=True, slots=True)
class SmoothCourse:
    """The smooth radial course of a spectrum: what is left when rings and noise are averaged out.

    Attributes
    ----------
    power : NDArray[np.float64]
        By ring, from 0 to r + 1: constant below the first ring that is fitted, and beyond the last.
    functions : NDArray[np.float64]
        The functions whose sum is its logarithm, shape (rings that are fitted, n).
    """

    power: NDArray[np.float64]
    functions: NDArray[np.float64]


def sector_sums(powers: NDArray[np.float32], plane: HalfPlane, threads: RowThreads) -> NDArray[np.float64]:
    """Return half spectra (n, 2 r + 1, r + 1) added up by sector and ring: (n, SECTORS, r + 1)."""
    count, rings = len(powers), plane.radius + 1
    sums = np.zeros((count, SECTORS * rings))
    threads.run(ctf_kernels.sum_bins, powers.reshape(count, -1), plane.bins.ravel(), sums, rows=count)
    return sums.reshape(count, SECTORS, rings)


def smooth_course(sums: NDArray[np.float64], plane: HalfPlane, frequency_step: float) -> SmoothCourse:
    """Fit the logarithm of the rings' mean power by Chebyshev polynomials and the water ring.

    Parameters
    ----------
    sums : NDArray[np.float64]
        Power by sector and ring, shape (SECTORS, r + 1).
    """
    first, last = plane.first_ring, plane.radius
    frequency = np.arange(first, last + 1) * frequency_step
    sizes = plane.bin_sizes.sum(0)[first:]
    mean = np.maximum(sums.sum(0)[first:] / np.maximum(sizes, 1), 1e-30)
    place = (frequency - frequency[0]) / (frequency[-1] - frequency[0]) * 2 - 1
    functions = np.polynomial.chebyshev.chebvander(place, COURSE_DEGREE)
    if frequency[-1] > WATER_RING_PER_ANGSTROM - 0.02:
        functions = np.concatenate([functions, water_ring(frequency)[:, None]], 1)
    weight = np.sqrt(sizes)
    coefficients = np.linalg.lstsq(functions * weight[:, None], np.log(mean) * weight, rcond=None)[0]
    fitted = np.exp(functions @ coefficients)
    power = np.concatenate([np.full(first, fitted[0]), fitted, fitted[-1:]])
    return SmoothCourse(power, functions)
