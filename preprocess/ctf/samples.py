"""The samples of a spectrum that the model is fitted to: its pixels, or means of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.half_plane import SECTORS, HalfPlane, half_plane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import BACKGROUND, BACKGROUND_RING, ENVELOPE, ENVELOPE_RING, PARAMETERS
from preprocess.ctf.sectors import SmoothCourse


@dataclass(frozen=True, slots=True)
class SpectrumSamples:
    """Power over its smooth course at some places of a spectrum; all of shape (samples,) but for the last two.

    Attributes
    ----------
    frequency, cos2, sin2 : NDArray[np.float32]
        Spatial frequency, 1/Å; cos and sin of twice the azimuth.
    value : NDArray[np.float32]
        Power over the smooth course.
    weight : NDArray[np.float32]
        Of how many pixels it is the mean.
    basis, places : NDArray
        Splines and ring that are not zero there (samples, 10), and where they stand among the parameters (samples, 2).
    lowest_frequency, highest_frequency : float
        Ends of what is fitted, 1/Å.
    defocus_range_wavelength : float
        Thickness of the specimen times the wavelength, Å²: see `of_thickness`.
    """

    frequency: NDArray[np.float32]
    cos2: NDArray[np.float32]
    sin2: NDArray[np.float32]
    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    basis: NDArray[np.float32]
    places: NDArray[np.int32]
    lowest_frequency: float
    highest_frequency: float
    defocus_range_wavelength: float = 0.0

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Return what the kernels take."""
        return self.frequency, self.cos2, self.sin2, self.value, self.weight, self.basis, self.places

    def curves(
        self, linear: NDArray[np.float64], frequency: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return background and envelope at some frequencies, for these coefficients; beyond the ends, as there."""
        basis, places = _bases(frequency, self.lowest_frequency, self.highest_frequency)
        left = np.sinc(self.defocus_range_wavelength * frequency**2)
        four = np.arange(4)
        background = (basis[:, :4] * linear[places[:, :1] + four]).sum(1) + basis[:, 8] * linear[BACKGROUND_RING]
        envelope = (basis[:, 4:8] * linear[places[:, 1:] + four]).sum(1) + basis[:, 8] * linear[ENVELOPE_RING]
        return background, envelope * left

    def of_thickness(self, thickness: float, wavelength: float) -> SpectrumSamples:
        """Return the same samples of a specimen with some thickness, both Å.

        Its layers differ in defocus, so that the rings fade as sin(u) / u with u = pi λ t k²: they vanish at
        k² = 1 / (λ t), and have the opposite sign beyond (Elferich et al. 2024, eLife 13, RP97227).
        """
        left = np.sinc(thickness * wavelength * self.frequency**2)
        basis = self.basis.copy()
        basis[:, 4:8] *= left[:, None]
        basis[:, 9] *= left
        return replace(self, basis=basis, defocus_range_wavelength=thickness * wavelength)

    def background_functions(self, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the splines and the ring that a background is made of, at some frequencies: (n, coefficients)."""
        basis, places = _bases(frequency, self.lowest_frequency, self.highest_frequency)
        functions = np.zeros((len(frequency), ENVELOPE - BACKGROUND))
        rows = np.arange(len(frequency))
        for spline in range(4):
            functions[rows, places[:, 0] - BACKGROUND + spline] = basis[:, spline]
        functions[:, BACKGROUND_RING - BACKGROUND] = basis[:, 8]
        return functions

    def envelope_functions(self, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the splines and the ring that an envelope is made of, at some frequencies: (n, coefficients)."""
        basis, places = _bases(frequency, self.lowest_frequency, self.highest_frequency)
        functions = np.zeros((len(frequency), PARAMETERS - ENVELOPE))
        rows = np.arange(len(frequency))
        for spline in range(4):
            functions[rows, places[:, 1] - ENVELOPE + spline] = basis[:, 4 + spline]
        functions[:, ENVELOPE_RING - ENVELOPE] = basis[:, 8]
        return functions * np.sinc(self.defocus_range_wavelength * frequency**2)[:, None]


def pixel_samples(power: NDArray[np.float32], course: SmoothCourse, plane: HalfPlane, step: float) -> SpectrumSamples:
    """Return the pixels of a half spectrum (2 r + 1, r + 1) as samples. step: between pixels, 1/Å."""
    frame = _pixel_frame(plane.radius, plane.first_ring, step)
    smooth = np.interp(plane.rings, np.arange(len(course.power)), course.power).astype(np.float32)
    return replace(frame, value=power.ravel()[plane.places] / smooth)


def polar_samples(sums: NDArray[np.float64], course: SmoothCourse, plane: HalfPlane, step: float) -> SpectrumSamples:
    """Return the means of sectors and rings as samples. sums: their power, added up, shape (SECTORS, r + 1)."""
    frame = _polar_frame(plane.radius, plane.first_ring, step)
    return replace(frame, value=polar_values(sums, course, plane))


def polar_values(sums: NDArray[np.float64], course: SmoothCourse, plane: HalfPlane) -> NDArray[np.float32]:
    """Return the values that `polar_samples` have, for sums (…, SECTORS, r + 1): (…, samples)."""
    first, last = plane.first_ring, plane.radius
    sizes = plane.bin_sizes[:, first:last]
    used = sizes > 0
    mean = sums[..., first:last] / np.maximum(sizes, 1) / course.power[first:last]
    values: NDArray[np.float32] = np.ascontiguousarray(mean[..., used], np.float32)
    return values


@lru_cache(maxsize=2)
def _pixel_frame(radius: int, first_ring: int, step: float) -> SpectrumSamples:
    plane = half_plane(radius, first_ring)
    one = np.ones(len(plane.places), np.float32)
    return _frame(plane.rings * np.float32(step), plane.cos2, plane.sin2, one, (first_ring * step, radius * step))


@lru_cache(maxsize=2)
def _polar_frame(radius: int, first_ring: int, step: float) -> SpectrumSamples:
    plane = half_plane(radius, first_ring)
    sizes = plane.bin_sizes[:, first_ring:radius]
    used = sizes > 0
    angle = 2 * ((np.arange(SECTORS) + 0.5) / SECTORS - 0.5) * np.pi
    columns = (np.arange(first_ring, radius)[None] * step, np.cos(angle)[:, None], np.sin(angle)[:, None], sizes)
    frequency, cos2, sin2, weight = (np.broadcast_to(c, sizes.shape)[used].astype(np.float32) for c in columns)
    return _frame(frequency, cos2, sin2, weight, (first_ring * step, radius * step))


def _frame(
    frequency: NDArray[np.float32],
    cos2: NDArray[np.float32],
    sin2: NDArray[np.float32],
    weight: NDArray[np.float32],
    ends: tuple[float, float],
) -> SpectrumSamples:
    """Return samples whose values are not there yet."""
    basis, places = _bases(frequency, *ends)
    return SpectrumSamples(frequency, cos2, sin2, np.empty(0, np.float32), weight, basis, places, *ends)


def _bases(frequency: NDArray[Any], lowest: float, highest: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    basis, places = np.empty((len(frequency), 10), np.float32), np.empty((len(frequency), 2), np.int32)
    ctf_kernels.write_bases(frequency.astype(np.float32), lowest, highest, basis, places, 0, len(frequency))
    return basis, places
