"""The model of a power spectrum that is fitted, and the numbers that describe it.

The power at spatial frequency k and azimuth p, divided by a smooth radial course, is

    N(k) - E(k) T cos 2 chi(k, p)

N (background) and E (envelope: the power of the rings) are cubic B-splines over the frequencies that are fitted, with
one Gaussian each for the ring of water at 3.7 Å. E may turn negative, as it does beyond the first node of a thick
specimen. chi is the phase of the CTF, see `estimate`. T is what the window of a tile leaves of an oscillation: its
own transform at the rate at which 2 chi turns, exactly. sin² chi = (1 - cos 2 chi) / 2, so that this is the power of
particles times the CTF's square, plus noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.optics import CtfOptics

WATER_RING_PER_ANGSTROM = 1 / 3.70
"""Where amorphous water scatters most, 1/Å."""
WATER_RING_WIDTH_PER_ANGSTROM = 0.018
"""Standard deviation of the Gaussian that describes it."""

DEFOCUS, ASTIGMATISM_COS, ASTIGMATISM_SIN, PHASE = range(4)
"""Places of what is sought: mean defocus, (U - V) / 2 times cos and sin of twice the angle, Å; phase shift, rad."""
BACKGROUND_INTERVALS, ENVELOPE_INTERVALS = 9, 6
BACKGROUND = 4
BACKGROUND_RING = BACKGROUND + BACKGROUND_INTERVALS + 3
ENVELOPE = BACKGROUND_RING + 1
ENVELOPE_RING = ENVELOPE + ENVELOPE_INTERVALS + 3
PARAMETERS = ENVELOPE_RING + 1
"""The places of the spline coefficients and of the water ring's height, and how many parameters there are."""


@dataclass(frozen=True, slots=True)
class PhaseTerms:
    """What the phase of the CTF is computed from, in the units of a spectrum.

    chi = pi λ z k² - `aberration` k⁴ + phase shift + `contrast_phase`.

    Attributes
    ----------
    wavelength : float
        λ, Å.
    aberration : float
        (pi / 2) Cs λ³, Å⁴.
    contrast_phase : float
        asin of the amplitude contrast, rad.
    frequency_step : float
        Between neighbouring pixels of the spectrum, 1/Å.
    """

    wavelength: float
    aberration: float
    contrast_phase: float
    frequency_step: float

    @classmethod
    def of(cls, optics: CtfOptics, frequency_step: float) -> PhaseTerms:
        """Return those of a microscope."""
        wavelength = optics.wavelength_angstrom
        aberration = np.pi / 2 * optics.cs_mm * 1e7 * wavelength**3
        return cls(wavelength, float(aberration), optics.contrast_phase, frequency_step)

    def chi(self, frequency: NDArray[Any], defocus: NDArray[Any] | float, phase_shift: float = 0.0) -> NDArray[Any]:
        """Return the phase of the CTF, rad."""
        squared = frequency * frequency
        turned: NDArray[Any] = np.pi * self.wavelength * defocus * squared - self.aberration * squared * squared
        return turned + (phase_shift + self.contrast_phase)


def water_ring(frequency: NDArray[Any]) -> NDArray[Any]:
    """Return the Gaussian of the water ring at these frequencies, 1/Å."""
    distance = (frequency - WATER_RING_PER_ANGSTROM) / WATER_RING_WIDTH_PER_ANGSTROM
    ring: NDArray[Any] = np.exp(-0.5 * distance * distance)
    return ring


def window_transfer(turn: NDArray[Any]) -> NDArray[Any]:
    """Return what the window leaves of a spectrum's oscillation that turns by `turn` rad from pixel to pixel.

    It is the window's autocorrelation at that distance, over its value at none.
    """
    x = np.minimum(np.abs(turn) / (2 * np.pi), 1.0)
    left: NDArray[Any] = (1 - x) * np.cos(np.pi * x) + np.sin(np.pi * x) / np.pi
    return left
