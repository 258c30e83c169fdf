"""Local motion: all patches of all frames at once decide on one smooth field, and other patches judge it.

The sum over patches of the frames' weighted cross-correlations (each with the sum of all others), divided by the number
of frames, is the movie's log-likelihood when the weight of a ring is SSNR / (1 + SSNR) / noise power. It is maximised
jointly over everything that the model of motion leaves free, from coarse (a B-factor damps high frequencies) to fine.
No patch is ever aligned for itself: a faint patch adds what little it knows.

Whether the local model is used at all is tested on data that it has not seen: the field found in every other patch (a
chessboard) must raise the log-likelihood of the patches in between, over both colours together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from preprocess.alignment.motion_model import ORDERS, LocalEvidence, MotionModel
from preprocess.alignment.whole_frame import LOWEST_CYCLES, signal_weights
from preprocess.backends.contract import RING_COUNT, PatchSpectra
from preprocess.geometry.field import EXPONENTS, MOST_DEGREE, DisplacementField, term_count
from preprocess.geometry.patches import PatchLayout

LEAST_DEGREE = 2
"""Of the polynomials in space; up to MOST_DEGREE where there are that many patches and one, along either axis."""
COARSE_TO_FINE_B_PX2 = (600.0, 150.0, 40.0, 10.0, 0.0)
FINE_B_PX2 = (0.0, 0.0)
NEGLIGIBLE = 1e-3
INFORMATIVE = 0.995
"""Fraction of all frequencies' information about motion that is used; the highest hold the rest, and cost most."""
LEAST_GAIN = 4.0
"""Log-likelihood that unseen patches must gain before the local model is believed (2 standard deviations)."""

Progress = Callable[[float], None]
Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDecision:
    """Whether the local model of motion is used, and why.

    Attributes
    ----------
    used : bool
        Whether it is.
    reason : str
        The reason, in words.
    patches_x, patches_y : int
        Number of patches.
    bin_factor : int
        Binning of the frames in which the motion was measured.
    held_out_gain : float | None
        By how much the log-likelihood of patches that the field was not fitted to rises with it; None: not measured.
    held_out_gain_error : float | None
        Standard error of that figure, from its scatter over patches.
    prior_rms_px : tuple[tuple[float, ...], ...]
        Ridges found: root mean square displacement a frame that the prior of each group of terms allows at the
        field's edge; one row for each spatial degree, one column for each octave of temporal orders.
    local_rms_px : float
        Root mean square of the local motion found, for each axis, over all patches and frames.
    """

    used: bool
    reason: str
    patches_x: int
    patches_y: int
    bin_factor: int
    held_out_gain: float | None = None
    held_out_gain_error: float | None = None
    prior_rms_px: tuple[tuple[float, ...], ...] = ()
    local_rms_px: float = 0.0


@dataclass(frozen=True, slots=True)
class LocalMotion:
    """The displacement field to use, mean over frames zero, and how it was chosen."""

    field: DisplacementField
    decision: LocalDecision


class _Patches:
    """Patches, and how they are compared."""

    def __init__(self, spectra: PatchSpectra, layout: PatchLayout) -> None:
        self.spectra, self.layout = spectra, layout
        self.frame_count, self.count = layout.tops.shape
        self._sizes = spectra.ring_sizes()
        self._frequency = (np.arange(RING_COUNT) + 0.5) / (2 * RING_COUNT)
        self._high_pass = self._frequency * min(spectra.shape) > LOWEST_CYCLES

    def powers(
        self, model: MotionModel, patches: Sequence[int], last_ring: int = RING_COUNT
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the rings' powers of the sums and of the frames, shape (patches, RING_COUNT)."""
        found = self.spectra.measure(self._shifts(model), np.zeros(RING_COUNT), patches, last_ring)
        return found.sum_powers, found.frame_powers

    def weights(self, sum_powers: NDArray[np.float64], frame_powers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each ring's weight, from the powers of several patches, shape (patches, RING_COUNT)."""
        sizes = self._sizes * len(sum_powers)
        weights, _ = signal_weights(sum_powers.sum(0), frame_powers.sum(0), sizes, self.frame_count)
        weights *= self._high_pass
        information = weights * np.maximum(sum_powers.sum(0) - frame_powers.sum(0), 0) * self._frequency**2
        cumulative = np.cumsum(information)
        weights[np.append(0, cumulative[:-1]) > INFORMATIVE * cumulative[-1]] = 0
        return weights

    def log_likelihoods(self, model: MotionModel, patches: Sequence[int], weights: NDArray[np.float64]) -> Figures:
        """Return each patch's log-likelihood, but for a constant."""
        sum_powers, frame_powers = self.powers(model, patches, _end(weights))
        likelihoods: Figures = (sum_powers - frame_powers) @ weights / (2 * self.frame_count)
        return likelihoods

    def fitted(
        self, model: MotionModel, patches: Sequence[int], weights: NDArray[np.float64], b_factors: Sequence[float]
    ) -> MotionModel:
        """Improve a model once for each B-factor (px² as recorded)."""
        px_per_sample = self.layout.px_per_sample
        for b_factor in b_factors:
            damped = weights * np.exp(-2 * b_factor * self._frequency**2 / px_per_sample.prod())
            damped[damped < NEGLIGIBLE * damped.max()] = 0
            found = self.spectra.measure(self._shifts(model), damped, patches, _end(damped))
            n, scale = self.frame_count, px_per_sample
            yy, xx, yx = (
                -found.hessian.T / (n * (n - 1.0)) / np.array([[scale[0] ** 2], [scale[1] ** 2], [scale.prod()]])
            )
            evidence = LocalEvidence(found.gradient / scale / n, _information(yy, xx, yx))
            model = model.updated(evidence, self.layout.centres[list(patches)], self.layout.extent)
            if not b_factor:
                weights = self.weights(found.sum_powers, found.frame_powers)
        return model

    def _shifts(self, model: MotionModel) -> NDArray[np.float64]:
        shifts: NDArray[np.float64] = (
            model.displacements(self.layout.centres, self.layout.extent) - self.layout.moved
        ) / self.layout.px_per_sample
        return shifts


def _end(weights: NDArray[np.float64]) -> int:
    """Return the number of the first ring from which on all weights are zero."""
    used = np.flatnonzero(weights)
    return int(used[-1]) + 1 if used.size else 0


def _information(yy: Figures, xx: Figures, yx: Figures) -> Figures:
    """Return the patches' information matrices, made sure to be positive where noise or misalignment made them not."""
    yy, xx = (np.maximum(values, max(0.3 * float(np.median(values)), 1e-12)) for values in (yy, xx))
    limit = 0.5 * np.sqrt(yy * xx)
    yx = np.clip(yx, -limit, limit)
    return np.stack([np.stack([yy, yx], 1), np.stack([yx, xx], 1)], 1)


def estimate_local_motion(
    spectra: PatchSpectra,
    layout: PatchLayout,
    shifts: NDArray[np.float64],
    counts: tuple[int, int],
    progress: Progress,
) -> LocalMotion | None:
    """Find the displacement field; None if the patches' frames share nothing beyond noise.

    Parameters
    ----------
    spectra : PatchSpectra
        The patches of at least three frames, laid out by `layout`.
    shifts : NDArray[np.float64]
        Whole-frame displacements to begin with, px as recorded, shape (frames, 2).
    counts : tuple[int, int]
        Patches in y and in x.
    progress : Callable[[float], None]
        Called with the fraction that is done, from 0 to 1.
    """
    patches = _Patches(spectra, layout)
    everywhere = range(patches.count)
    whole = MotionModel.from_shifts(shifts, 0)
    weights = patches.weights(*patches.powers(whole, everywhere))
    if not weights.any():
        return None
    whole = patches.fitted(whole, everywhere, weights, FINE_B_PX2)
    progress(0.3)
    shifts = whole.displacements(np.zeros((1, 2)))[:, 0]
    gains, halves = _held_out_gains(patches, whole, shifts, weights, counts)
    progress(0.6)
    gain, error = float(gains.sum()), float(gains.std() * np.sqrt(gains.size))
    model = whole
    used = gain > LEAST_GAIN
    if used:
        model = patches.fitted(halves, everywhere, weights, FINE_B_PX2)
        reason = "the field found in every other patch also aligns the patches in between better than one shift"
    else:
        reason = "the field found in every other patch does not align the patches in between better than one shift"
    decision = LocalDecision(
        used=used,
        reason=reason,
        patches_x=counts[1],
        patches_y=counts[0],
        bin_factor=layout.bin_factor,
        held_out_gain=gain,
        held_out_gain_error=error,
        prior_rms_px=_ridges(model),
        local_rms_px=_local_rms(model, layout.centres),
    )
    return LocalMotion(displacement_field(model), decision)


def _held_out_gains(
    patches: _Patches,
    whole: MotionModel,
    shifts: NDArray[np.float64],
    weights: NDArray[np.float64],
    counts: tuple[int, int],
) -> tuple[NDArray[np.float64], MotionModel]:
    """Return what each patch's log-likelihood gains by the local motion that the patches of the other colour show.

    The whole frame's motion is the same in both cases, so that nothing but local motion is judged. The mean of both
    colours' models comes along: where to begin with all patches.
    """
    degree = int(np.clip(min(counts) - 1, LEAST_DEGREE, MOST_DEGREE))
    number = np.arange(patches.count)
    colour = (number // counts[1] + number % counts[1]) % 2
    before = patches.log_likelihoods(whole, range(patches.count), weights)
    after, halves = np.empty_like(before), []
    for fitted_to in (0, 1):
        seen, unseen = np.flatnonzero(colour == fitted_to).tolist(), np.flatnonzero(colour != fitted_to).tolist()
        model = patches.fitted(MotionModel.from_shifts(shifts, degree), seen, weights, COARSE_TO_FINE_B_PX2)
        coefficients = model.coefficients.copy()
        coefficients[:, :, 0] = whole.coefficients[:, :, 0]
        after[unseen] = patches.log_likelihoods(MotionModel(coefficients, model.variances), unseen, weights)
        halves.append(model)
    mean = MotionModel(
        (halves[0].coefficients + halves[1].coefficients) / 2, (halves[0].variances + halves[1].variances) / 2
    )
    return after - before, mean


def displacement_field(model: MotionModel) -> DisplacementField:
    """Return the model's field."""
    terms = term_count(max(model.degree, LEAST_DEGREE))
    powers = _POWERS_OF_TERMS[: _used(model), :terms]
    fields = [model.in_time() @ model.coefficients[:, axis] @ powers for axis in (0, 1)]
    return DisplacementField(*(np.round(field, 6) for field in fields))  # a library's last bits do not reach the image


def _used(model: MotionModel) -> int:
    return int(model.coefficients.shape[2])


def _powers_of_terms() -> NDArray[np.float64]:
    """Return the coefficients of the field's terms in each spatial term of the model, shape (terms, terms)."""
    of_order = np.zeros((MOST_DEGREE + 1, MOST_DEGREE + 1))
    for order, row in enumerate(of_order):
        row[: order + 1] = legendre.leg2poly(np.eye(order + 1)[order]) * 2.0 ** np.arange(order + 1)
    (in_x, in_y), (power_x, power_y) = ORDERS.T, EXPONENTS.T
    powers: NDArray[np.float64] = of_order[in_x[:, None], power_x] * of_order[in_y[:, None], power_y]
    return powers


_POWERS_OF_TERMS = _powers_of_terms()


def _ridges(model: MotionModel) -> tuple[tuple[float, ...], ...]:
    frame_count = len(model.coefficients) + 1
    return tuple(tuple(np.sqrt(row / frame_count).round(4).tolist()) for row in model.variances)


def _local_rms(model: MotionModel, centres: NDArray[np.float64]) -> float:
    moved = model.displacements(centres)
    return float(np.sqrt(((moved - moved.mean(1, keepdims=True)) ** 2).mean()))
