"""Whole-frame alignment: one shift per frame, from each frame's cross-correlation with the sum of all others.

Two stages. The coarse one looks for the peak of the correlation of low frequencies, weighted by a B-factor of 150 px²
as RELION does (Zivanov et al. 2019, IUCrJ 6, 5), and needs no idea of where it is. The fine one climbs to the maximum
of the correlation of all frequencies by Newton's method, each ring weighted by how much of its power the frames share:
SSNR / (1 + SSNR), measured on the movie itself, which is close to the maximum-likelihood weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.frame_judgement import peak_heights
from preprocess.alignment.repetition import repetition
from preprocess.backends.contract import RING_COUNT, Spectra

B_FACTOR_PX2 = 150.0
LARGEST_SHIFT_PX = 96
"""How far from the movie's mean position a frame may lie, in px as recorded."""
LOWEST_CYCLES = 3.0
"""Frequencies of fewer cycles per frame are left out: illumination and ice gradients stay with the camera."""
COARSE_STEPS, FINE_STEPS = 8, 16
SETTLED_PX = 0.003


@dataclass(frozen=True, slots=True)
class WholeFrameMotion:
    """The result of whole-frame alignment.

    Attributes
    ----------
    shifts : NDArray[np.float64]
        The content's displacement, shape (frames, 2), (y, x), px as recorded, mean over frames zero.
    standard_errors : NDArray[np.float64]
        What noise alone does to each shift, shape (frames, 2), px as recorded, from the correlation's curvature.
    steps : int
        Iterations of the fine stage.
    converged : bool
        Whether the last step was smaller than 0.003 px.
    has_signal : bool
        Whether the frames share anything beyond noise; without, shifts are those of the coarse stage.
    peaks : NDArray[np.float64] | None
        How well each frame matches the others in the coarse stage, see `peak_heights`; None: not known.
    repeats_px : float | None
        After how many px as recorded the image repeats itself, as a crystal's does; None: it does not.
    """

    shifts: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    steps: int
    converged: bool
    has_signal: bool
    peaks: NDArray[np.float64] | None = None
    repeats_px: float | None = None


def estimation_bin(height: int, width: int) -> int:
    """Return the factor by which frames are binned for the estimate: their longer side comes to 3072 px at most."""
    return max(1, -(-max(height, width) // 3072))


def no_motion(frame_count: int) -> WholeFrameMotion:
    """Return the motion of frames that lie where they are."""
    nowhere = np.zeros((frame_count, 2))
    return WholeFrameMotion(nowhere, nowhere.copy(), 0, converged=True, has_signal=False)


def estimate_motion(spectra: Spectra, bin_factor: int) -> WholeFrameMotion:
    """Find each frame's shift.

    Parameters
    ----------
    spectra : Spectra
        Transforms of at least two frames.
    bin_factor : int
        The binning of those frames.
    """
    high_pass, weights = _coarse_weights(spectra, bin_factor)
    shifts, peaks = _coarse(spectra, weights, bin_factor)
    found = _fine(spectra, shifts, high_pass, bin_factor)
    return replace(found, peaks=peaks, repeats_px=_repeats_px(spectra, found.shifts / bin_factor, weights, bin_factor))


def _repeats_px(
    spectra: Spectra, shifts: NDArray[np.float64], weights: NDArray[np.float64], bin_factor: int
) -> float | None:
    """Return after how many px as recorded the image repeats itself, displacements (binned px) being undone."""
    shape, step = _coarse_grid(spectra, bin_factor)
    reach = min(int(LARGEST_SHIFT_PX / (bin_factor * step.max())), min(shape) // 4)
    spectra.ring_powers(shifts)
    windows = spectra.correlations(shifts, weights, shape, max(2, reach))
    distances = np.abs(np.arange(windows.shape[1]) - windows.shape[1] // 2)
    shared = [1 - distances / size for size in shape]
    found = repetition(windows, shared[0][:, None] * shared[1])
    return None if found is None else float(np.hypot(*(found * step * bin_factor)))


def correlation_peaks(spectra: Spectra, shifts: NDArray[np.float64], bin_factor: int) -> NDArray[np.float64]:
    """Return how well each frame matches the others when displacements, px as recorded, are undone."""
    weights, (shape, step) = _coarse_weights(spectra, bin_factor)[1], _coarse_grid(spectra, bin_factor)
    spectra.ring_powers(shifts / bin_factor)
    reach = min(int(LARGEST_SHIFT_PX / (bin_factor * step.max())), min(shape) // 4)
    return peak_heights(spectra.correlations(shifts / bin_factor, weights, shape, max(2, reach)))


def _coarse_weights(spectra: Spectra, bin_factor: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which rings are not too low, and the weights of the coarse stage."""
    frequencies = (np.arange(RING_COUNT) + 0.5) / (2 * RING_COUNT)
    high_pass: NDArray[np.bool_] = frequencies * min(spectra.shape) > LOWEST_CYCLES
    return high_pass, high_pass.astype(np.float64) * np.exp(-2 * B_FACTOR_PX2 / bin_factor**2 * frequencies**2)


def _coarse_grid(spectra: Spectra, bin_factor: int) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Return the shape of correlations and their step in binned px: every 4 px as recorded."""
    height, width = spectra.shape
    shrink = max(1, 4 // bin_factor)
    shape = (2 * (height // (2 * shrink)), 2 * (width // (2 * shrink)))
    return shape, np.array([height / shape[0], width / shape[1]])


def _coarse(
    spectra: Spectra, weights: NDArray[np.float64], bin_factor: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return shifts in binned px, found step by step as peaks of low-frequency correlations, and the last peaks."""
    shape, step = _coarse_grid(spectra, bin_factor)
    shifts = np.zeros((spectra.frame_count, 2))
    radius = int(LARGEST_SHIFT_PX / (bin_factor * step.max()))
    for _ in range(COARSE_STEPS):
        spectra.ring_powers(shifts)
        reach = max(2, min(radius, min(shape) // 4))
        windows = spectra.correlations(shifts, weights, shape, reach)
        change = _peaks(windows) * step * _share_of_others(len(shifts))
        change -= change.mean(0)
        shifts += change
        if np.abs(change).max() * bin_factor < 0.5:
            break
        radius = max(6, radius // 2)
    return shifts, peak_heights(windows)


def _share_of_others(frame_count: int) -> float:
    """Return the part of its distance to the others that a frame goes, since the others come towards it as well."""
    return (frame_count - 1) / frame_count


def _peaks(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the place of each window's maximum relative to its middle, between samples by a parabola through three."""
    radius = windows.shape[1] // 2
    found = np.zeros((len(windows), 2))
    for index, window in enumerate(windows.astype(np.float64)):
        y, x = np.unravel_index(int(window.argmax()), window.shape)
        found[index] = y - radius, x - radius
        if 0 < y < 2 * radius:
            found[index, 0] += _vertex(window[y - 1, x], window[y, x], window[y + 1, x])
        if 0 < x < 2 * radius:
            found[index, 1] += _vertex(window[y, x - 1], window[y, x], window[y, x + 1])
    return found


def _vertex(before: float, middle: float, after: float) -> float:
    curvature = before - 2 * middle + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0


def signal_weights(
    sum_powers: NDArray[np.float64],
    frame_powers: NDArray[np.float64],
    ring_sizes: NDArray[np.float64],
    frame_count: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each ring's weight for correlations, SSNR / (1 + SSNR) / noise, and the noise power of one frame.

    The signal's power is what frames share: (power of the sum - sum of powers) / (n² - n), averaged over neighbouring
    rings; rings where it does not stand out from its own uncertainty (2 standard deviations) get no weight.
    """
    n = frame_count
    sizes = np.maximum(ring_sizes, 1)
    signal = (sum_powers - frame_powers) / (n * n - n) / sizes
    power = frame_powers / n / sizes
    noise = np.maximum(power - np.maximum(signal, 0), LEAST_NOISE * power)
    smooth_signal, smooth_noise = _smoothed(signal, ring_sizes), np.maximum(_smoothed(noise, ring_sizes), 1e-30)
    effective = np.convolve(ring_sizes, np.ones(SMOOTHING), "same") / 2
    uncertainty = smooth_noise * np.sqrt(2 / (n * (n - 1.0))) / np.sqrt(np.maximum(effective, 1))
    ratio = n * np.where(smooth_signal > 2 * uncertainty, smooth_signal, 0) / smooth_noise
    return ratio / (1 + ratio) / smooth_noise, smooth_noise


LEAST_NOISE = 1e-6
"""The least part of a frame's power that counts as noise; frames without any would weigh infinitely."""
SMOOTHING = 7
"""Rings over which signal and noise powers are averaged."""


def _smoothed(values: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = np.ones(SMOOTHING)
    return np.convolve(values * sizes, kernel, "same") / np.maximum(np.convolve(sizes, kernel, "same"), 1)


def _fine(
    spectra: Spectra, shifts: NDArray[np.float64], high_pass: NDArray[np.bool_], bin_factor: int
) -> WholeFrameMotion:
    count = len(shifts)
    sizes = spectra.ring_sizes()
    errors = np.full_like(shifts, np.nan)
    converged, step = False, 0
    for step in range(1, FINE_STEPS + 1):
        sum_powers, frame_powers = spectra.ring_powers(shifts)
        weights, _ = signal_weights(sum_powers, frame_powers, sizes, count)
        weights *= high_pass
        if not weights.any():
            return WholeFrameMotion(shifts * bin_factor, errors, step, converged=False, has_signal=False)
        gradient, hessian = spectra.derivatives(shifts, weights)
        change = newton_steps(gradient, hessian, largest=0.75) * _share_of_others(count)
        change -= change.mean(0)
        shifts = shifts + change
        errors = bin_factor * np.sqrt((count - 1) / np.maximum(-hessian[:, :2], 1e-30))
        if np.abs(change).max() * bin_factor < SETTLED_PX:
            converged = True
            break
    return WholeFrameMotion(shifts * bin_factor, errors, step, converged, has_signal=True)


def newton_steps(gradient: NDArray[np.float64], hessian: NDArray[np.float64], *, largest: float) -> NDArray[np.float64]:
    """Return each frame's step to the maximum of its correlation, at most `largest` long in either axis.

    Where the surface is not curved downwards enough (noise), the movie's median curvature is used instead.

    Parameters
    ----------
    gradient, hessian : NDArray[np.float64]
        Shapes (frames, 2) and (frames, 3: yy, xx, yx).
    """
    yy, xx, yx = -hessian[:, 0], -hessian[:, 1], -hessian[:, 2]
    typical_y, typical_x = max(float(np.median(yy)), 1e-30), max(float(np.median(xx)), 1e-30)
    unsure = (yy < 0.25 * typical_y) | (xx < 0.25 * typical_x) | (yy * xx - yx**2 <= 0.05 * typical_y * typical_x)
    yy, xx, yx = np.where(unsure, typical_y, yy), np.where(unsure, typical_x, xx), np.where(unsure, 0, yx)
    determinant = yy * xx - yx**2
    y = (xx * gradient[:, 0] - yx * gradient[:, 1]) / determinant
    x = (yy * gradient[:, 1] - yx * gradient[:, 0]) / determinant
    return np.clip(np.stack([y, x], 1), -largest, largest)
