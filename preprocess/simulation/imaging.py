"""How a microscope images slices of a specimen: the contrast transfer function at each slice's own defocus.

A tilted slice is cut into planes of equal defocus. A place between two planes is shared among them by its distance, so
that its image is the sum of two that differ by less than half a radian of phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from preprocess.simulation.frequencies import Frequencies, Image, Spectrum, image_of, transform
from preprocess.simulation.micrograph_settings import MicrographSettings
from preprocess.simulation.scattering import electron_wavelength
from preprocess.simulation.slices import SpecimenSlice, slice_step

_CHROMATIC_MM = 2.7


def image_contrast(settings: MicrographSettings, frequencies: Frequencies, slices: Iterable[SpecimenSlice]) -> Image:
    """Return the image's contrast: intensity relative to what hits the specimen, less one."""
    optics = _Optics(settings, frequencies)
    total: Spectrum | None = None
    for depth, phase in _planes(settings, slices):
        spectrum = transform(phase)
        spectrum *= optics.transfer(depth)
        total = spectrum if total is None else total + spectrum
    if total is None:
        return np.zeros(settings.shape, np.float32)
    total *= _motion_envelope(settings, frequencies)
    return image_of(total, settings.shape)


def tilt_surface(settings: MicrographSettings) -> Image:
    """Return how much deeper the specimen lies at each pixel than at the centre, Å."""
    axis, slope = np.deg2rad(settings.tilt_axis_degrees), np.tan(np.deg2rad(settings.tilt_degrees))
    y = (np.arange(settings.height, dtype=np.float32) - (settings.height - 1) / 2)[:, None]
    x = (np.arange(settings.width, dtype=np.float32) - (settings.width - 1) / 2)[None, :]
    beside_axis = y * np.cos(axis) - x * np.sin(axis)
    surface: Image = (beside_axis * (slope * settings.pixel_size_angstrom)).astype(np.float32)
    return surface


def _planes(settings: MicrographSettings, slices: Iterable[SpecimenSlice]) -> Iterator[tuple[float, Image]]:
    """Yield planes of equal defocus: their depth relative to the centre, Å, and the phase that lies in them."""
    if not settings.tilt_degrees:
        for one in slices:
            yield one.depth_angstrom, one.phase
        return
    every, surface, step = list(slices), tilt_surface(settings), slice_step(settings)
    depths = [one.depth_angstrom for one in every]
    first, last = float(surface.min()) + min(depths), float(surface.max()) + max(depths)
    for depth in np.arange(first, last + step, step):
        plane = np.zeros(settings.shape, np.float32)
        for one in every:
            plane += np.clip(1 - np.abs(surface + np.float32(one.depth_angstrom - depth)) / step, 0, 1) * one.phase
        yield float(depth), plane


class _Optics:
    """The contrast transfer function, with the envelopes of partial coherence."""

    def __init__(self, settings: MicrographSettings, frequencies: Frequencies) -> None:
        k, wavelength = frequencies.k, electron_wavelength(settings.voltage_kv)
        self._settings, self._k = settings, k
        squared = k * k
        self._per_defocus = np.float32(np.pi * wavelength) * squared
        self._mean = (settings.defocus_u_angstrom + settings.defocus_v_angstrom) / 2
        aberration = np.pi / 2 * settings.cs_mm * 1e7 * wavelength**3
        constant = np.deg2rad(settings.phase_shift_degrees) + np.arcsin(settings.amplitude_contrast)
        self._rest = np.float32(constant) - np.float32(aberration) * squared * squared
        self._rest += np.float32(np.pi * wavelength) * _astigmatic_part(settings, frequencies)
        self._spherical = np.float32(settings.cs_mm * 1e7 * wavelength**2) * squared * k
        focal_spread = _CHROMATIC_MM * 1e7 * settings.energy_spread_ev / 2.355 / (settings.voltage_kv * 1e3)
        self._coherent = np.exp(-((np.float32(np.pi * wavelength * focal_spread) * squared) ** 2) / 2)

    def transfer(self, depth_angstrom: float) -> Image:
        """Return contrast per phase for what lies that much deeper than the middle."""
        if self._settings.content != "specimen":
            return np.float32(np.sqrt(2)) * self._coherent
        defocus = np.float32(self._mean + depth_angstrom)
        angle = np.float32(np.pi * self._settings.semi_angle_mrad * 1e-3)
        damped = self._coherent * np.exp(-((angle * (self._spherical - defocus * self._k)) ** 2))
        transfer: Image = -2 * np.sin(self._per_defocus * defocus + self._rest) * damped
        return transfer


def _astigmatic_part(settings: MicrographSettings, frequencies: Frequencies) -> Image:
    """Return (U - V) / 2 cos 2(p - angle) k², without trigonometry of each pixel's azimuth p."""
    twice = 2 * np.deg2rad(settings.angle_degrees)
    half = (settings.defocus_u_angstrom - settings.defocus_v_angstrom) / 2
    y, x = frequencies.y, frequencies.x
    part: Image = (half * np.cos(twice)) * (x * x - y * y) + (half * np.sin(twice)) * (2 * x * y)
    return part.astype(np.float32)


def _motion_envelope(settings: MicrographSettings, frequencies: Frequencies) -> Image:
    """Return what steady drift along a line and vibration leave of an image."""
    angle = np.deg2rad(settings.drift_degrees)
    along = frequencies.x * np.float32(np.cos(angle)) + frequencies.y * np.float32(np.sin(angle))
    shaken = np.exp(-2 * (np.float32(np.pi * settings.vibration_angstrom) * frequencies.k) ** 2)
    envelope: Image = (np.sinc(along * np.float32(settings.drift_angstrom)) * shaken).astype(np.float32)
    return envelope
