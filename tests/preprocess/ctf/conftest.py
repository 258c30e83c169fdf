"""Micrographs with a known CTF, of a few lines: white specimen through the CTF, plus white noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft

from preprocess.ctf.optics import CtfOptics

PIXEL_ANGSTROM = 1.2
OPTICS = CtfOptics(pixel_size_angstrom=PIXEL_ANGSTROM, voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1)


def _micrograph(
    u: float,
    v: float,
    angle: float,
    *,
    side: int = 1024,
    phase_degrees: float = 0,
    strength: float = 1.0,
    slope: tuple[float, float] = (0, 0),
    seed: int = 1,
) -> np.ndarray:
    """Return an image (side, side) of defocus u along `angle` (degrees from +x towards +y, row 0 first).

    slope: by how much defocus rises along y and x, Å per Å: the image is put together of strips.
    """
    random = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(side, PIXEL_ANGSTROM)[:, None], np.fft.rfftfreq(side, PIXEL_ANGSTROM)[None]
    square, azimuth = kx**2 + ky**2, np.arctan2(ky, kx)
    specimen = scipy.fft.rfft2(random.standard_normal((side, side))) * np.sqrt(strength) * np.exp(-15 * square)
    wavelength = OPTICS.wavelength_angstrom

    def image(more: float) -> np.ndarray:
        defocus = (u + v) / 2 + more + (u - v) / 2 * np.cos(2 * (azimuth - np.radians(angle)))
        chi = np.pi * wavelength * defocus * square - np.pi / 2 * 2.7e7 * wavelength**3 * square**2
        return scipy.fft.irfft2(specimen * -np.sin(chi + np.radians(phase_degrees) + OPTICS.contrast_phase))

    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    rise = (slope[0] * y + slope[1] * x) * PIXEL_ANGSTROM
    steps = np.linspace(rise.min(), rise.max(), 16) if any(slope) else np.zeros(1)
    nearest = np.abs(rise[..., None] - steps).argmin(-1)
    whole = np.zeros((side, side))
    for number, more in enumerate(steps):
        whole += np.where(nearest == number, image(more), 0)
    return (whole + random.standard_normal((side, side))).astype(np.float32) * 3 + 40


@pytest.fixture(scope="session")
def micrograph() -> Callable[..., np.ndarray]:
    return _micrograph


@pytest.fixture(scope="session")
def optics() -> CtfOptics:
    return OPTICS
