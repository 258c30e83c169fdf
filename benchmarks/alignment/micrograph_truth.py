"""How much of the noise-free truth is in a micrograph.

The truth is the undamaged projection through the microscope's optics (contrast transfer function, form factor), with
neither noise nor motion. A program may place its micrograph a fraction of a pixel away from the first frame, or bend it
by as much: that blurs nothing and no user would see it, but it would lower the correlation. If the program reports
its motion, the truth is shifted to where the program placed the micrograph: at each place by the mean over frames of
estimate minus truth, each frame weighted by the signal at 5 Å that is left in it.
"""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from benchmarks.alignment.field_error import true_displacement
from benchmarks.alignment.motion_fields import MotionField
from benchmarks.alignment.movies import BenchMovie
from benchmarks.alignment.ring_correlation import RingCorrelation, ring_correlation
from benchmarks.errors import ResultUnreadable
from preprocess.simulation import SimulatedMovie, Truth

_KNOTS = 33
_CRITICAL_DOSE_AT_5_A = 0.245 * 0.2**-1.665 + 2.81  # e/Å², Grant & Grigorieff 2015


def read_micrograph(path: Path) -> NDArray[np.float32]:
    """Return a micrograph as float32.

    Raises
    ------
    ResultUnreadable
        It is missing or no micrograph.
    """
    try:
        image: NDArray[np.float32] = np.squeeze(mrcfile.read(path)).astype(np.float32)
    except (OSError, ValueError) as error:
        raise ResultUnreadable(f"{path}: {error}") from error
    return image


def correlation_with_truth(
    micrograph: NDArray[np.float32], movie: BenchMovie, simulated: SimulatedMovie, motion: MotionField | None
) -> RingCorrelation:
    """Return the micrograph's ring correlation with the noise-free truth."""
    if motion is None:
        truth = simulated.noise_free()
    else:
        truth = simulated.noise_free(*mean_offset(motion, simulated.truth, movie.dose_per_frame_e_per_a2))
    truth = fourier_cropped(truth, (micrograph.shape[0], micrograph.shape[1]))
    return ring_correlation(micrograph, truth, movie.pixel_size_angstrom * movie.bin_factor)


def mean_offset(
    motion: MotionField, truth: Truth, dose_per_frame_e_per_a2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much a micrograph made with that motion is off the first frame: y and x, (height, width), px."""
    rows, columns = np.linspace(0, truth.height - 1, _KNOTS), np.linspace(0, truth.width - 1, _KNOTS)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    dose = (np.arange(motion.frame_count) + 0.5) * dose_per_frame_e_per_a2
    weights = np.exp(-dose / _CRITICAL_DOSE_AT_5_A)
    total = np.zeros((2, *y.shape))
    for frame, weight in enumerate(weights / weights.sum()):
        estimate = motion.displacement(frame, y, x)
        total += weight * (np.stack(estimate) - np.stack(true_displacement(truth, frame, y, x)))
    at_rows, at_columns = np.arange(truth.height), np.arange(truth.width)
    offset_y, offset_x = (RectBivariateSpline(rows, columns, part)(at_rows, at_columns) for part in total)
    return offset_y, offset_x


def fourier_cropped(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return an image at a smaller even shape, its high frequencies left out."""
    if image.shape == shape:
        return image
    spectrum = scipy.fft.rfft2(image)
    height, width = shape
    kept = np.concatenate([spectrum[: height // 2], spectrum[-(height // 2) :]])[:, : width // 2 + 1]
    cropped: NDArray[np.float32] = scipy.fft.irfft2(kept, s=shape)
    return cropped * np.float32(height * width / (image.shape[0] * image.shape[1]))
