"""Motion of what moves in frames that also hold something fixed to the camera: both are found together.

The model: each Fourier component of a frame is a fixed part, a part that the frame's displacement gives its phase, and
noise. Both parts are normal variables whose powers the movie shows (`part_powers`), and are integrated out. What is
left is the likelihood of the displacements. It is climbed by Newton's steps on frames without the most probable fixed
part (the envelope theorem: its own change does not matter to first order), accelerated after Anderson (1965, J. ACM 12,
547).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.part_powers import (
    first_powers,
    fitted_powers,
    fixed_excess,
    moving_alone_powers,
    unbiased_share,
    unknown_powers,
)
from preprocess.alignment.phase_overlap import RING_FREQUENCIES, PhaseOverlap
from preprocess.alignment.whole_frame import LEAST_NOISE, LOWEST_CYCLES, SETTLED_PX, newton_steps
from preprocess.backends.contract import PartMeasures, Spectra

Figures = NDArray[np.float64]

STEPS, REMEMBERED = 30, 6
LARGEST_STEP, LARGEST_LEAP = 0.75, 1.5
"""Binned px that a frame goes at most: by Newton's step, and by the accelerated one."""
RAMPS_PX = (1.0, 2.5, 6.0, 15.0)
RAMP_DIRECTIONS = 8
GLANCED_PX = 2**18
"""Of larger spectra, only as many rows are looked at in a glance as one of a frame of so many px has."""
ROUGH_FREQUENCY = 0.25


@dataclass(frozen=True, slots=True)
class TwoPartFit:
    """Displacements, binned px, (frames, 2), mean zero; the log-likelihood there; whether the last step was small."""

    shifts: Figures
    log_likelihood: float
    steps: int
    converged: bool


class TwoParts:
    """Spectra of frames, seen as two parts and noise."""

    def __init__(self, spectra: Spectra, bin_factor: int, levels: Figures) -> None:
        self.spectra, self.bin_factor, self.levels = spectra, bin_factor, levels
        self.norm = float((levels**2).sum())
        self.frequency = RING_FREQUENCIES
        self.high_pass = self.frequency * min(spectra.shape) > LOWEST_CYCLES
        self.sizes = spectra.ring_sizes()
        self.rows = max(1, round(spectra.shape[0] * spectra.shape[1] / GLANCED_PX))
        self.powers = unknown_powers()

    def glance_at(self, shifts: Figures) -> None:
        """Find noise and powers if this is the motion, from a part of the components where there are many."""
        measures = self.spectra.split(shifts, self.levels, unknown_powers(), every=self.rows)
        self.powers = fitted_powers(measures, first_powers(measures, self.norm), self.norm)
        self.fixed_excess = fixed_excess(measures, self.powers, self.norm)
        self.noiseless = bool(measures.change.sum() <= LEAST_NOISE * measures.frame_power.sum())

    def look_at(self, shifts: Figures) -> None:
        """Find the powers of both parts if this is the motion."""
        measures = self.spectra.split(shifts, self.levels, self.powers)
        self.powers = fitted_powers(measures, self.powers, self.norm)

    def find_noise(self) -> None:
        """Find the noise and the components that stand out, from all components."""
        nowhere = np.zeros((self.spectra.frame_count, 2))
        self.powers = first_powers(self.spectra.split(nowhere, self.levels, unknown_powers()), self.norm)

    def log_likelihood(self, shifts: Figures) -> float:
        """Return the log-likelihood of displacements, but for a constant."""
        self.look_at(shifts)
        return self._sum(self.spectra.split(shifts, self.levels, self.powers))

    def log_likelihood_without_fixed(self, shifts: Figures) -> float:
        """Return the log-likelihood of displacements if nothing is fixed, but for the same constant."""
        measures = self.spectra.split(shifts, self.levels, self.powers)
        powers = moving_alone_powers(measures, self.powers, self.norm)
        return self._sum(self.spectra.split(shifts, self.levels, powers))

    def rough_log_likelihood(self, shifts: Figures) -> float:
        """Return about the same from low frequencies, and from a part of them where there are many."""
        lowest = np.where(self.frequency < ROUGH_FREQUENCY, self.powers.noise, 0)
        powers = replace(self.powers, noise=lowest)
        measures = self.spectra.split(shifts, self.levels, powers, every=self.rows)
        powers = replace(fitted_powers(measures, self.powers, self.norm), noise=lowest)
        return self._sum(self.spectra.split(shifts, self.levels, powers, every=self.rows))

    def take_off(self, shifts: Figures) -> float:
        """Take off the frames what is fixed if this is the motion; return the log-likelihood."""
        self.look_at(shifts)
        return self._sum(self.spectra.split(shifts, self.levels, self.powers, take_off=True))

    def take_off_unbiased(self, shifts: Figures) -> None:
        """Take off the frames so much of what is fixed that they do not correlate at zero shift any more."""
        self.look_at(shifts)
        measures = self.spectra.split(shifts, self.levels, self.powers)
        powers = replace(self.powers, taken=unbiased_share(measures, self.powers, self.norm))
        self.spectra.split(shifts, self.levels, powers, take_off=True)

    def _sum(self, measures: PartMeasures) -> float:
        return float(measures.log_likelihood[self.high_pass].sum())

    def weights(self) -> Figures:
        """Return each ring's weight for the correlation of frames without the fixed part."""
        moving, noise = self.powers.moving, self.powers.noise
        weights: Figures = self.high_pass * moving / (self.norm * moving + noise) / noise
        return weights

    def newton_step(self, shifts: Figures) -> tuple[Figures, float]:
        """Return the step to a higher likelihood, and the log-likelihood here."""
        likelihood = self.take_off(shifts)
        self.spectra.ring_powers(shifts)
        gradient, hessian = self.spectra.derivatives(shifts, self.weights())
        step = newton_steps(gradient + self._pull_of_overlap(shifts), hessian, largest=LARGEST_STEP)
        return step - step.mean(0), likelihood

    def standard_error(self) -> float:
        """Return what noise alone does to a frame's shift along each axis, binned px, with the powers last found."""
        information = self.weights() * self.sizes * self.powers.moving * self.norm * (2 * np.pi * self.frequency) ** 2
        return float(1 / np.sqrt(max(information.sum() / 2, 1e-12)))

    def pull_of_fixed(self, shifts: Figures, fixed: Figures) -> float:
        """Return by how many binned px (rms) a fixed part of that power, taken for specimen, displaces the frames."""
        moving, noise = self.powers.moving, self.powers.noise
        both = self.powers.fixed + moving
        weights = self.high_pass * both / (self.norm * both + noise) / noise * self.sizes
        pull = PhaseOverlap(shifts, np.ones(len(shifts))).slopes((weights * fixed)[:, None])
        curvature = float((weights * moving * self.norm * (2 * np.pi * self.frequency) ** 2).sum()) / 2
        return float(np.sqrt((pull**2).mean())) / max(curvature, 1e-30)

    def _pull_of_overlap(self, shifts: Figures) -> Figures:
        """Return the gradient of the likelihood's determinant: less is known of either part where they look alike."""
        noise = self.powers.noise
        ridges = [noise / np.maximum(power, 1e-9 * noise) for power in (self.powers.fixed, self.powers.moving)]
        overlap = PhaseOverlap(shifts, self.levels**2)
        determinant = np.prod([self.norm + ridge for ridge in ridges], 0)[:, None] - overlap.powers
        return overlap.slopes((self.high_pass * self.sizes)[:, None] / determinant)

    def climbed(self, shifts: Figures, steps: int = STEPS) -> TwoPartFit:
        """Return the most probable displacements near these."""
        shifts = shifts - shifts.mean(0)
        best, likelihood, converged, taken = shifts, -np.inf, False, 0
        places, moves = list[Figures](), list[Figures]()
        for taken in range(1, steps + 1):  # noqa: B007 - how many there were is said
            step, here = self.newton_step(shifts)
            if here > likelihood:
                best, likelihood = shifts, here
            if np.abs(step).max() * self.bin_factor < SETTLED_PX:
                converged = True
                break
            places, moves = [*places, shifts][-REMEMBERED:], [*moves, step][-REMEMBERED:]
            shifts = shifts + _accelerated(places, moves)
            shifts -= shifts.mean(0)
        return TwoPartFit(best, likelihood, taken, converged)

    def ramps(self) -> Iterator[Figures]:
        """Yield drifts in several directions, fast at first, from short to long."""
        course = np.sqrt(np.linspace(0, 1, self.spectra.frame_count))
        course -= course.mean()
        for length in RAMPS_PX:
            for angle in 2 * np.pi * np.arange(RAMP_DIRECTIONS) / RAMP_DIRECTIONS:
                yield length / self.bin_factor * course[:, None] * np.array([[np.sin(angle), np.cos(angle)]])


def _accelerated(places: list[Figures], moves: list[Figures]) -> Figures:
    """Return the step from the last of several places, from the Newton's steps at all of them."""
    if len(places) < 2:
        return moves[-1]
    of_moves = np.diff([move.ravel() for move in moves], axis=0).T
    of_places = np.diff([place.ravel() for place in places], axis=0).T
    shares = np.linalg.lstsq(of_moves, moves[-1].ravel(), rcond=1e-6)[0]
    step = moves[-1] - ((of_places + of_moves) @ shares).reshape(moves[-1].shape)
    shortened: Figures = step * min(1.0, LARGEST_LEAP / max(float(np.abs(step).max()), 1e-30))
    return shortened
