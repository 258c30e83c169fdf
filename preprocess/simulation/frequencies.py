"""Spatial frequencies of an image's transform, and filters in Fourier space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Image = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Frequencies of `rfft2` of an image, 1/Å: `y` (height, 1), `x` (1, width // 2 + 1), and their length `k`."""

    shape: tuple[int, int]
    y: Image
    x: Image
    k: Image

    @classmethod
    def of(cls, shape: tuple[int, int], pixel_size_angstrom: float) -> Frequencies:
        """Return those of an image."""
        y = np.fft.fftfreq(shape[0], pixel_size_angstrom).astype(np.float32)[:, None]
        x = np.fft.rfftfreq(shape[1], pixel_size_angstrom).astype(np.float32)[None, :]
        return cls(shape, y, x, np.hypot(y, x))


def transform(image: Image) -> Spectrum:
    """Return an image's transform."""
    spectrum: Spectrum = scipy.fft.rfft2(image)
    return spectrum


def image_of(spectrum: Spectrum, shape: tuple[int, int]) -> Image:
    """Return the image of a transform."""
    image: Image = scipy.fft.irfft2(spectrum, s=shape)
    return image
