"""The specimen and the microscope's optics: particles in ice, as an image in Fourier space.

Particles are clouds of atoms in random orientation, put on the canvas as points, so that everything else (their form
factor, the contrast transfer function, radiation damage, whole-frame motion) is a product in Fourier space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from preprocess.simulation.settings import SimulationSettings

_ATOMS = 1500
_OCCUPANCY = 0.7
_FORM_FACTOR_B_A2 = 60.0
_ICE_WEIGHT = 0.35

# Critical exposure N_e(k) = a k^b + c in e⁻/Å² at 300 kV (Grant & Grigorieff 2015, eLife 4:e06980, equation 3).
_CRITICAL_A, _CRITICAL_B, _CRITICAL_C = 0.245, -1.665, 2.81
_EXPOSURE_SCALES_KV = ((100.0, 200.0, 300.0), (0.64, 0.8, 1.0))


@dataclass(frozen=True, slots=True)
class Particles:
    """The particles of a specimen, which are one shape with a seven-fold axis along its third coordinate.

    Attributes
    ----------
    centres_yx_px : NDArray[np.float64]
        Where they are before anything moves, shape (particles, 2).
    rotations : NDArray[np.float64]
        Shape (particles, 3, 3): what turns a place in the shape into (y, x, height) from the centre.
    """

    centres_yx_px: NDArray[np.float64]
    rotations: NDArray[np.float64]


class Specimen:
    """A canvas larger than the frame by a margin, so that content moves in and out of view instead of around."""

    def __init__(self, settings: SimulationSettings, margin_px: int) -> None:
        self._settings = settings
        self.margin_px = margin_px
        height = scipy.fft.next_fast_len(settings.height + 2 * margin_px, real=True)
        width = scipy.fft.next_fast_len(settings.width + 2 * margin_px, real=True)
        self.shape = (height, width)
        self._ky = np.fft.fftfreq(height).astype(np.float32)[:, None]
        self._kx = np.fft.rfftfreq(width).astype(np.float32)[None, :]
        squared = (self._ky**2 + self._kx**2) / np.float32(settings.pixel_size_angstrom**2)
        self._damage_rate = damage_rate(squared, settings.voltage_kv)
        random = np.random.default_rng([settings.seed, 3])
        self.particles, canvas = _particles(settings, self.shape, random)
        self._spectrum = _image_spectrum(settings, canvas, random, squared, self._ky, self._kx)

    def image(
        self, frame_index: int | None, shift_yx_px: tuple[float, float] = (0.0, 0.0), *, for_cubic_spline: bool = False
    ) -> NDArray[np.float32]:
        """Return the canvas during a frame: relative contrast with mean zero, moved by a shift, damaged by the dose.

        Frame None is before the first electron.

        With `for_cubic_spline` it comes as coefficients of a cubic B-spline on the pixel grid.
        """
        dose = 0.0 if frame_index is None else (frame_index + 0.5) * self._settings.dose_per_frame_e_per_a2
        spectrum = self._spectrum * np.exp(np.float32(-dose) * self._damage_rate)
        if for_cubic_spline:
            spectrum /= _cubic_spline_transfer(self._ky) * _cubic_spline_transfer(self._kx)
        spectrum *= np.exp(-2j * np.pi * self._ky * shift_yx_px[0]).astype(np.complex64)
        spectrum *= np.exp(-2j * np.pi * self._kx * shift_yx_px[1]).astype(np.complex64)
        image: NDArray[np.float32] = scipy.fft.irfft2(spectrum, s=self.shape, overwrite_x=True)
        return image

    def view(self, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of a canvas that the camera sees."""
        margin = self.margin_px
        return canvas[margin : margin + self._settings.height, margin : margin + self._settings.width]


def damage_rate(k_squared: NDArray[np.float32], voltage_kv: float) -> NDArray[np.float32]:
    """Return 1 / (2 N_e(k)): amplitudes fall by exp(-dose / (2 N_e)). `k_squared` in Å⁻²."""
    scale = np.float32(np.interp(voltage_kv, *_EXPOSURE_SCALES_KV))
    critical = scale * (_CRITICAL_A * np.maximum(k_squared, 1e-9) ** (_CRITICAL_B / 2) + _CRITICAL_C)
    rate: NDArray[np.float32] = (0.5 / critical).astype(np.float32)
    return rate


def _image_spectrum(
    settings: SimulationSettings,
    canvas: NDArray[np.float32],
    random: np.random.Generator,
    k_squared: NDArray[np.float32],
    ky: NDArray[np.float32],
    kx: NDArray[np.float32],
) -> NDArray[np.complex64]:
    """Return the undamaged image's transform, scaled to the wanted contrast."""
    shape = (canvas.shape[0], canvas.shape[1])
    particles = scipy.fft.rfft2(canvas)
    particles /= max(1e-9, float(np.sqrt(np.mean(np.abs(particles) ** 2))))
    ice = scipy.fft.rfft2(random.standard_normal(shape, np.float32))
    ice *= _ICE_WEIGHT / np.sqrt(shape[0] * shape[1])
    spectrum = (particles + ice).astype(np.complex64)
    spectrum *= np.exp(np.float32(-_FORM_FACTOR_B_A2 / 4) * k_squared)
    spectrum *= contrast_transfer(settings, k_squared, ky, kx)
    spectrum[0, 0] = 0
    image = scipy.fft.irfft2(spectrum, s=shape)
    spectrum *= np.float32(settings.contrast / max(1e-12, float(image.std())))
    return spectrum


def contrast_transfer(
    settings: SimulationSettings, k_squared: NDArray[np.float32], ky: NDArray[np.float32], kx: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the contrast transfer function; underfocus is positive and makes particles dark."""
    volts = settings.voltage_kv * 1e3
    wavelength = 12.2643 / np.sqrt(volts + 0.97845e-6 * volts**2)  # Å, relativistic
    azimuth = np.arctan2(ky, kx)
    defocus = settings.defocus_angstrom + settings.astigmatism_angstrom / 2 * np.cos(2 * (azimuth - 0.6))
    phase = np.pi * wavelength * defocus * k_squared
    phase -= np.pi / 2 * settings.cs_mm * 1e7 * wavelength**3 * k_squared**2
    transfer: NDArray[np.float32] = -np.sin(phase + np.arcsin(settings.amplitude_contrast)).astype(np.float32)
    return transfer


def _particles(
    settings: SimulationSettings, shape: tuple[int, int], random: np.random.Generator
) -> tuple[Particles, NDArray[np.float32]]:
    """Return the particles, and a canvas with each atom of each spread over the four nearest pixels."""
    centres = _particle_centres(settings, shape, random)
    of_shape = random if settings.particle_seed is None else np.random.default_rng([settings.particle_seed, 9])
    atoms = _atoms(of_shape) * (settings.particle_diameter_angstrom / 2 / settings.pixel_size_angstrom)
    rotations = random_rotations(len(centres), random)
    places = np.einsum("pij,aj->pai", rotations[:, :2, :], atoms) + centres[:, None, :]
    y, x = places[..., 0].ravel() % shape[0], places[..., 1].ravel() % shape[1]
    row, column = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    fraction_y, fraction_x = y - row, x - column
    canvas = np.zeros(shape[0] * shape[1])
    for step_y, weight_y in ((0, 1 - fraction_y), (1, fraction_y)):
        for step_x, weight_x in ((0, 1 - fraction_x), (1, fraction_x)):
            index = (row + step_y) % shape[0] * shape[1] + (column + step_x) % shape[1]
            canvas += np.bincount(index, weight_y * weight_x, canvas.size)
    return Particles(centres, rotations), canvas.reshape(shape).astype(np.float32)


def _particle_centres(
    settings: SimulationSettings, shape: tuple[int, int], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return places (particles, 2) on a jittered hexagonal grid with vacancies."""
    spacing = 1.45 * settings.particle_diameter_angstrom / settings.pixel_size_angstrom
    rows, columns = max(2, round(shape[0] / (spacing * 0.87))), max(2, round(shape[1] / spacing))
    row, column = np.divmod(np.arange(rows * columns), columns)
    y = (row + 0.5) / rows * shape[0]
    x = (column + 0.25 + 0.5 * (row % 2)) / columns * shape[1]
    centres = np.stack([y, x], axis=1) + random.uniform(-0.22, 0.22, (rows * columns, 2)) * spacing
    kept = random.random(len(centres)) < _OCCUPANCY
    kept[0] = True
    found: NDArray[np.float64] = centres[kept]
    return found


def _atoms(random: np.random.Generator) -> NDArray[np.float64]:
    """Return a particle (atoms, 3) with radius about 1: a barrel of four seven-fold rings with a channel."""
    subunit = random.standard_normal((_ATOMS // 28, 3)) * np.array([0.18, 0.16, 0.14])
    rings = []
    for height, radius, twist in ((-0.75, 0.55, 0.1), (-0.26, 0.66, 0.0), (0.26, 0.66, 0.25), (0.75, 0.55, 0.15)):
        for fold in range(7):
            angle = 2 * np.pi * fold / 7 + twist
            turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
            rings.append((subunit + np.array([radius, 0, 0])) @ turn.T + np.array([0, 0, height]))
    return np.concatenate(rings)


def random_rotations(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return uniform random rotation matrices (count, 3, 3), from unit quaternions."""
    q = random.standard_normal((count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )


def _cubic_spline_transfer(frequency: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sampled cubic B-spline's transform at frequencies in cycles a pixel."""
    transfer: NDArray[np.float32] = ((4 + 2 * np.cos(2 * np.pi * frequency)) / 6).astype(np.float32)
    return transfer
