"""The power spectrum that RELION's motion correction writes for CTFFIND (`--grouping_for_ps`), from aligned frames.

Amplitudes of the transforms of sums of about 4 e/Å² each are added up, so that drift between them does not dampen high
frequencies. What is written is their middle as a square image, up to 1 / 2.8 Å, 512 px wide, its pixel size so that it
reads as the amplitude spectrum of an image of 512 px. RELION adds up frames as they were recorded; here each is moved
back first (RELION 5.0, `MotioncorrRunner::executeOwnMotionCorrection`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess import fourier
from preprocess.backends.contract import Backend, DeviceImage
from preprocess.computed_movie import PowerSpectrum
from preprocess.exposure.dose import DoseWeights, plain_weights
from preprocess.geometry.field import DisplacementField
from preprocess.pipeline.undamping import undamping

GROUP_DOSE_E_PER_A2 = 4.0
"""RELION's default."""
GROUP_FRAMES = 4
"""Where the dose is not known."""
SIDE_PX = 512
FINEST_PIXEL_ANGSTROM = 1.4
"""Frequencies beyond those of such pixels are left out, as CTFFIND leaves them out."""

Image = NDArray[np.float32]


def spectrum_groups(frame_count: int, dose_per_frame_e_per_a2: float | None) -> NDArray[np.float32]:
    """Return which frames are in each sum, 1 or 0, shape (sums, frames): as many in each, the last ones fewer."""
    size = GROUP_FRAMES
    if dose_per_frame_e_per_a2 is not None and dose_per_frame_e_per_a2 > 0:
        size = max(1, min(frame_count, round(GROUP_DOSE_E_PER_A2 / dose_per_frame_e_per_a2)))
    groups: NDArray[np.float32] = (
        np.arange(frame_count) // size == np.arange(math.ceil(frame_count / size))[:, None]
    ).astype(np.float32)
    return groups


def power_spectrum(
    sums: Sequence[DeviceImage],
    groups: NDArray[np.float32],
    field: DisplacementField,
    backend: Backend,
    pixel_size_angstrom: float,
) -> PowerSpectrum:
    """Return the power spectrum of the sums of groups of frames of such pixels."""
    of_groups = [DoseWeights(frames[None], plain_weights(1).filters, 0.0) for frames in groups]
    half = backend.amplitudes(sums, [undamping(field, each) for each in of_groups])
    return as_written(_whole(half, int(sums[0].shape[1])), pixel_size_angstrom)


def as_written(amplitudes: Image, pixel_size_angstrom: float) -> PowerSpectrum:
    """Return amplitudes (height, width), zero frequency in the middle, as RELION makes them smaller."""
    side = min(amplitudes.shape)
    if amplitudes.shape != (side, side):
        amplitudes = _resized(amplitudes, side)
    kept = math.ceil(side * pixel_size_angstrom / FINEST_PIXEL_ANGSTROM)
    kept += kept % 2
    if kept < side:
        first = side // 2 - kept // 2
        amplitudes = amplitudes[first : first + kept, first : first + kept]
        pixel_size_angstrom = side * pixel_size_angstrom / kept
    return PowerSpectrum(_resized(amplitudes, SIDE_PX), pixel_size_angstrom)


def _whole(half: Image, width: int) -> Image:
    """Return a whole spectrum with zero frequency in the middle, from columns 0 to width / 2 of it."""
    height = len(half)
    whole: Image = np.empty((height, width), np.float32)
    middle = width // 2
    positive = width - middle
    right = np.fft.fftshift(half, axes=0)
    whole[:, middle:] = right[:, :positive]
    mirrored = half[-np.arange(height) % height][:, middle:0:-1]
    whole[:, :middle] = np.fft.fftshift(mirrored, axes=0)
    return whole


def _resized(image: Image, side: int) -> Image:
    """Return an image as a square of that side, its transform cropped or filled with zeros; values keep their mean."""
    spectrum = fourier.rfft2(image)
    height, width = image.shape
    small = np.zeros((side, side // 2 + 1), np.complex64)
    rows, columns = min(height, side), min(width // 2 + 1, side // 2 + 1)
    up, down = (rows + 1) // 2, rows // 2
    small[:up, :columns] = spectrum[:up, :columns]
    small[side - down :, :columns] = spectrum[height - down :, :columns]
    small *= np.float32(side * side / (height * width))
    return fourier.irfft2(small, side)
