"""How a camera records an image: electrons, blur, noise, weighting by dose, and faulty pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preprocess.simulation.frequencies import Frequencies, Image, image_of, transform
from preprocess.simulation.micrograph_settings import MicrographSettings
from preprocess.simulation.regions import beyond_edge, smooth_field
from preprocess.simulation.specimen import damage_rate

_GRID_BAR_BRIGHTNESS = 0.02
_WEIGHTING_STEPS = 40
_SATURATED = 255.0


@dataclass(frozen=True, slots=True)
class _CameraModel:
    """A camera: share of electrons that it sees, blur (1 at low frequency), and readout noise in electrons a pixel."""

    detected: float
    blur_at_nyquist: float
    readout: float
    blurs_noise: bool


_CAMERAS = {
    "counting": _CameraModel(0.85, 0.55, 0.0, blurs_noise=False),
    "integrating": _CameraModel(0.9, 0.25, 1.0, blurs_noise=True),
}


def record(settings: MicrographSettings, frequencies: Frequencies, contrast: Image, brightness: Image) -> Image:
    """Return the recorded image: counts, float32."""
    random = np.random.default_rng([settings.seed, 30])
    camera = _CAMERAS[settings.camera]
    blur = _blur(camera, frequencies.k * np.float32(settings.pixel_size_angstrom))
    expected = _expected(settings, contrast, brightness, random)
    if camera.blurs_noise:
        counts = _integrated(expected, random)
        noise = image_of(transform(counts - expected) * blur, settings.shape)
        noise += np.float32(camera.readout) * random.standard_normal(settings.shape, np.float32)
        expected = image_of(transform(expected) * blur, settings.shape)
    else:
        expected = np.maximum(image_of(transform(expected) * blur, settings.shape), 0)
        noise = random.poisson(expected).astype(np.float32) - expected
    image = _weighted(settings, frequencies, expected, noise)
    return _with_faulty_pixels(settings, image, random)


def _expected(settings: MicrographSettings, contrast: Image, brightness: Image, random: np.random.Generator) -> Image:
    """Return the electrons that are expected to be detected in each pixel."""
    electrons = settings.dose_e_per_a2 * settings.pixel_size_angstrom**2 * _CAMERAS[settings.camera].detected
    if settings.content == "grid bar":
        bright = 0.6 + 0.4 * smooth_field(settings.shape, min(settings.shape) / 4, random)
        brightness = np.float32(_GRID_BAR_BRIGHTNESS) * np.clip(bright, 0.1, None)
    expected = np.float32(electrons) * brightness * np.maximum(1 + contrast, 0)
    if settings.fixed_pattern:
        expected *= 1 + np.float32(settings.fixed_pattern) * random.standard_normal(settings.shape, np.float32)
        expected *= 1 + np.float32(settings.fixed_pattern) * random.standard_normal(settings.width).astype(np.float32)
    clipped: Image = np.maximum(expected, 0).astype(np.float32)
    return clipped


def _integrated(expected: Image, random: np.random.Generator) -> Image:
    """Return what electrons deposit: each a random energy, mean 1."""
    electrons = random.poisson(expected)
    deposited: Image = (random.gamma(3.0 * np.maximum(electrons, 1e-3)) / 3.0).astype(np.float32)
    return deposited


def _blur(camera: _CameraModel, cycles_per_px: Image) -> Image:
    blur: Image = camera.blur_at_nyquist ** ((cycles_per_px / np.float32(0.5)) ** 1.5)
    return blur.astype(np.float32)


def _weighted(settings: MicrographSettings, frequencies: Frequencies, expected: Image, noise: Image) -> Image:
    """Return signal and noise as weighting of frames by dose would leave them."""
    if settings.dose_weighting == "none":
        return expected + noise
    rate = damage_rate(frequencies.k**2, settings.voltage_kv)
    doses = (np.arange(_WEIGHTING_STEPS) + 0.5) / _WEIGHTING_STEPS * settings.dose_e_per_a2
    of_signal, of_noise = np.zeros_like(rate), np.zeros_like(rate)
    for dose in doses:
        weight = np.exp(np.float32(-dose) * rate)
        of_signal += weight / np.float32(_WEIGHTING_STEPS)
        of_noise += weight * weight / np.float32(_WEIGHTING_STEPS)
    of_noise = np.sqrt(of_noise)
    if settings.dose_weighting == "noise kept":
        of_signal, of_noise = of_signal / of_noise, np.ones_like(of_noise)
    return image_of(transform(expected) * of_signal + transform(noise) * of_noise, settings.shape)


def _with_faulty_pixels(settings: MicrographSettings, image: Image, random: np.random.Generator) -> Image:
    count = round(settings.hot_pixels_per_million * image.size / 1e6)
    places = random.choice(image.size, count, replace=False)
    image.reshape(-1)[places] += (image.std() * random.uniform(5, 200, count)).astype(np.float32)
    if settings.saturated_area:
        saturated = beyond_edge(settings.shape, settings.saturated_area, 1.0, random) > 0.5
        image[saturated] = max(_SATURATED, float(image.max()))
    return image
