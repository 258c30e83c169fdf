"""Whether the spacing of the rings is one that this voltage, spherical aberration and pixel size can make.

A wrong wavelength or pixel size is made up for by the defocus as far as chi grows with k². What is left grows with k⁴:
(pi/2) Cs λ³ k⁴ is another one than expected. Its difference is fitted beside defocus, background and envelope. Without
spherical aberration, or where rings do not reach far enough, nothing is left, and nothing can be known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.confidence import PhaseMisfit
from preprocess.ctf.model import window_transfer
from preprocess.ctf.refinement import STEP_UNIT_ANGSTROM, FitTask, FittedModel
from preprocess.ctf.ring_profile import RingProfile

Array = NDArray[np.float64]

AT_PER_ANGSTROM = 0.25
"""Where the difference of the phase is stated: at 4 Å."""
STEPS = 4
LONGEST_STEP = 0.5


def aberration_misfit(task: FitTask, fit: FittedModel) -> PhaseMisfit:
    """Return by how much the part of the phase that grows with k⁴ differs at 4 Å from what is expected, rad.

    Parameters
    ----------
    task : FitTask
        The spectrum's sectors and rings (`polar_samples`), the phase shift known.
    """
    profile = RingProfile.of(task, fit, 1)
    defocus, extra, step, sigma = fit.defocus, 0.0, np.zeros(2), 0.0
    for _ in range(STEPS):
        defocus, extra = defocus + step[0] * STEP_UNIT_ANGSTROM, extra + step[1]
        step, sigma = _step(profile, defocus, extra)
        step = np.clip(step, -LONGEST_STEP, LONGEST_STEP)
    return PhaseMisfit(phase=extra, sigma=sigma)


def _step(profile: RingProfile, defocus: float, extra: float) -> tuple[Array, float]:
    """Return Gauss and Newton's step of defocus, in units of 1000 Å, and of the difference, and this one's error."""
    terms, frequency = profile.task.terms, profile.frequency
    squared, local = frequency**2, defocus + profile.more
    further = extra / AT_PER_ANGSTROM**4
    phase = terms.chi(frequency, local, profile.phase_shift) + further * squared**2
    slope = np.pi * terms.wavelength * local - 2 * (terms.aberration - further) * squared
    left = window_transfer(4 * terms.frequency_step * frequency * slope)
    linear = np.concatenate([profile.background, -profile.envelope * (np.cos(2 * phase) * left)[:, None]], 1)
    weighted = linear * profile.weight[:, None]
    coefficients = np.linalg.solve(weighted.T @ linear + profile.prior, weighted.T @ profile.value)
    count, backgrounds = len(coefficients), profile.background.shape[1]
    turning = 2 * (profile.envelope @ coefficients[backgrounds:]) * np.sin(2 * phase) * left
    of_defocus = turning * np.pi * terms.wavelength * STEP_UNIT_ANGSTROM * squared
    functions = np.column_stack([linear, of_defocus, turning * (squared / AT_PER_ANGSTROM**2) ** 2])
    weighted = functions * profile.weight[:, None]
    equations = weighted.T @ functions + 1e-9 * np.eye(count + 2)
    equations[:count, :count] += profile.prior
    right = weighted.T @ (profile.value - linear @ coefficients)
    right[:count] -= profile.prior @ coefficients
    covariance = np.linalg.inv(equations)
    return (covariance @ right)[count:], float(np.sqrt(max(covariance[-1, -1], 0.0)))
