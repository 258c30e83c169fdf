"""Structure that is fixed to the camera: found, told from what moves, and taken off the frames that are aligned.

Pixel gains without a gain reference, beam edges, apertures, grid bars and holes at a fixed place of the camera are what
frames share best at zero shift, and they pull every frame there. First a glance: how strong is what is fixed, given the
motion that was found, and how far would it displace the frames? If hardly, nothing is changed. If it would, or if the
frames hardly moved, so that a fixed part cannot be told from a specimen that lies still, motion is looked for again
with a model of both parts (`two_part_motion`), from the motion that was found and from drifts in several directions.
Its result is believed if it makes the frames clearly more probable than stillness does, and than motion without a fixed
part: in faint movies noise alone may look like one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.illumination import illumination_weight
from preprocess.alignment.two_part_motion import TwoPartFit, TwoParts
from preprocess.alignment.whole_frame import WholeFrameMotion, correlation_peaks
from preprocess.backends.contract import FixedPart, FrameStack, Spectra

Figures = NDArray[np.float64]

LEAST_FRAMES = 3
HARMLESS_PX = 0.02
"""Frames may be displaced so far by what is fixed."""
UNDECIDED = 0.2
"""Part of the motion found; if what is fixed may account for more of it, the two cannot be told apart there."""
CANDIDATES = 2
LEAST_ROUGH_GAIN = 50.0
GAIN_OF_NOISE, GAIN_OF_FRAME = 60.0, 4.0
"""Log-likelihood that the model of two parts gains in movies where nothing moves, at most."""
LEAST_GAIN_OF_FIXED = 60.0
"""Log-likelihood that a fixed part must add: where there is none, its powers in all bands fit noise for about 15."""
SURE = 5.0
"""So many times that gain leave no doubt."""


@dataclass(frozen=True, slots=True)
class FixedStructure:
    """What is said about structure that is fixed to the camera.

    Attributes
    ----------
    reliable : bool
        Whether the specimen's motion is clear beside it.
    pull_px : float
        How far it would have displaced the frames, px as recorded, rms.
    """

    reliable: bool
    pull_px: float


@dataclass(frozen=True, slots=True)
class MotionBesideFixed:
    """The motion of what moves, and what is fixed."""

    whole: WholeFrameMotion
    structure: FixedStructure


class FixedStructureSearch:
    """The search in one movie; frames are weighted by the illumination until it is closed."""

    def __init__(self, stack: FrameStack, levels: Figures) -> None:
        self._stack, self._levels = stack, levels / np.sqrt((levels**2).mean())

    def __enter__(self) -> FixedStructureSearch:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.set_weight(None)

    def motion(self, spectra: Spectra, whole: WholeFrameMotion, bin_factor: int) -> MotionBesideFixed | None:
        """Return the motion beside fixed structure; None where there is none that matters.

        Parameters
        ----------
        spectra : Spectra
            Of the frames of which `whole` is the motion.
        """
        if spectra.frame_count < LEAST_FRAMES or not whole.has_signal:
            return None
        found = whole.shifts / bin_factor
        parts = TwoParts(spectra, bin_factor, self._levels)
        parts.glance_at(found)
        pull, excess = (parts.pull_of_fixed(found, power) for power in (parts.powers.fixed, parts.fixed_excess))
        decided = pull < UNDECIDED * float(np.sqrt((found**2).mean()))
        if parts.noiseless or (decided and excess * bin_factor < HARMLESS_PX):
            return None
        parts = self._weighted_parts(spectra, bin_factor)
        fit, gain = self._best(parts, found, sure=decided)
        noise_gain = GAIN_OF_NOISE + GAIN_OF_FRAME * (spectra.frame_count - 1)
        if fit is None or gain < noise_gain or not self._needs_fixed_part(parts, fit, found):
            self._stack.set_weight(None)
            return None
        return self._told_apart(
            parts, fit, whole.repeats_px, FixedStructure(gain > SURE * noise_gain, pull * bin_factor)
        )

    def fixed_part(self, shifts: Figures, bin_factor: int) -> FixedPart:
        """Return what is fixed in frames binned so, their displacements (px as recorded) being known."""
        parts = self._weighted_parts(None, bin_factor)
        parts.take_off_unbiased(shifts / bin_factor)
        return FixedPart(parts.spectra.fixed_image(), self._levels)

    def _weighted_parts(self, spectra: Spectra | None, bin_factor: int) -> TwoParts:
        weight = illumination_weight(self._stack)
        if weight is not None or spectra is None:
            self._stack.set_weight(weight)
            spectra = self._stack.spectra(bin_factor)
        parts = TwoParts(spectra, bin_factor, self._levels)
        parts.find_noise()
        return parts

    def _best(self, parts: TwoParts, found: Figures, *, sure: bool) -> tuple[TwoPartFit | None, float]:
        """Return the most probable motion, and the log-likelihood that it gains over stillness."""
        nowhere = np.zeros_like(found)
        still = parts.rough_log_likelihood(nowhere)
        rough = sorted(((parts.rough_log_likelihood(ramp), ramp) for ramp in parts.ramps()), key=lambda pair: -pair[0])
        if not sure and rough[0][0] - still < LEAST_ROUGH_GAIN:
            return None, 0.0
        best = parts.climbed(found)
        for likelihood, ramp in rough[:CANDIDATES]:
            if likelihood > parts.rough_log_likelihood(best.shifts):
                best = max(best, parts.climbed(ramp), key=lambda fit: fit.log_likelihood)
        return best, best.log_likelihood - parts.log_likelihood(nowhere)

    @staticmethod
    def _needs_fixed_part(parts: TwoParts, fit: TwoPartFit, found: Figures) -> bool:
        """Return whether a fixed part makes the frames clearly more probable than motion without one."""
        return fit.log_likelihood - parts.log_likelihood_without_fixed(found) > LEAST_GAIN_OF_FIXED

    def _told_apart(
        self, parts: TwoParts, fit: TwoPartFit, repeats_px: float | None, structure: FixedStructure
    ) -> MotionBesideFixed:
        bin_factor = parts.bin_factor
        parts.take_off(fit.shifts)
        error = parts.standard_error() * bin_factor
        shifts = fit.shifts * bin_factor
        whole = WholeFrameMotion(
            shifts,
            np.full_like(shifts, error),
            fit.steps,
            fit.converged,
            has_signal=True,
            peaks=correlation_peaks(parts.spectra, shifts, bin_factor),
            repeats_px=repeats_px,
        )
        return MotionBesideFixed(whole, structure)
