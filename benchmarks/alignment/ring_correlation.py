"""Fourier ring correlation of two images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

RINGS = 20
"""Rings of equal width from zero to Nyquist."""

_EDGE = 0.06  # part of each side that is left out and tapered


@dataclass(frozen=True, slots=True)
class RingCorrelation:
    """`frc` of each ring; `frequencies` of the rings' middles in 1/Å."""

    frequencies: tuple[float, ...]
    frc: tuple[float, ...]


def ring_correlation(
    one: NDArray[np.float32], other: NDArray[np.float32], pixel_size_angstrom: float, rings: int = RINGS
) -> RingCorrelation:
    """Return the correlation of two images of one shape, ring by ring.

    Σ F·G* / √(Σ|F|² Σ|G|²) over each ring (van Heel & Schatz 2005, J. Struct. Biol. 151, 250), of the images without
    their edges, where programs treat what moved out of view each in their own way.
    """
    f, g = (_spectrum(image) for image in (one, other))
    ky = scipy.fft.fftfreq(f.shape[0])[:, None]
    width = _inner_length(one.shape[1])
    kx = scipy.fft.rfftfreq(width)[None, :]
    ring = np.minimum((np.hypot(ky, kx) * (2 * rings)).astype(np.intp), rings).ravel()
    twice = np.full(f.shape[1], 2.0)  # a real image's other half
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        sums = np.bincount(ring, (values * twice).ravel(), rings + 1)[:rings]
        return sums.astype(np.float64)

    norm = np.sqrt(total(np.abs(f) ** 2) * total(np.abs(g) ** 2))
    frc = total((f * g.conj()).real) / np.where(norm > 0, norm, 1)
    middles = (np.arange(rings) + 0.5) / (2 * rings) / pixel_size_angstrom
    return RingCorrelation(tuple(middles.tolist()), tuple(frc.tolist()))


def _spectrum(image: NDArray[np.float32]) -> NDArray[np.complex64]:
    height, width = image.shape
    inner_height, inner_width = _inner_length(height), _inner_length(width)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    inner = image[top : top + inner_height, left : left + inner_width].astype(np.float32)
    inner -= inner.mean(dtype=np.float64)
    inner *= _taper(inner_height)[:, None]
    inner *= _taper(inner_width)[None, :]
    spectrum: NDArray[np.complex64] = scipy.fft.rfft2(inner, overwrite_x=True)
    return spectrum


def _inner_length(length: int) -> int:
    inner = length - 2 * int(np.ceil(_EDGE / 2 * length))
    return int(scipy.fft.prev_fast_len(inner, real=True)) if inner > 16 else inner


def _taper(length: int) -> NDArray[np.float32]:
    """Return a window that rises from 0 to 1 along a raised cosine at both ends."""
    edge = max(1, round(_EDGE / 2 * length))
    from_end = np.minimum(np.arange(length) + 0.5, length - np.arange(length) - 0.5)
    window: NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * np.minimum(from_end / edge, 1))).astype(np.float32)
    return window
