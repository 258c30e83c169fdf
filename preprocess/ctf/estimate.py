"""What CTF estimation finds.

Conventions (CTFFIND's: Rohou and Grigorieff 2015, J. Struct. Biol. 192, 216). The phase of the CTF at spatial frequency
k is chi = pi λ z k² - (pi/2) Cs λ³ k⁴ + phase shift + asin(amplitude contrast), and the CTF is -sin chi. Underfocus is
positive. At azimuth p the defocus z is (U + V) / 2 + (U - V) / 2 cos 2(p - angle), with U not less than V; p is counted
from +x towards +y of the image as it lies in its file, row 0 first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RadialProfile:
    """A spectrum averaged along lines of equal CTF phase, so that astigmatism does not blur it; all of shape (n,).

    Attributes
    ----------
    frequency_per_angstrom : NDArray[np.float64]
        Spatial frequency, 1/Å, equally spaced from 0.
    measured : NDArray[np.float64]
        Power divided by its smooth background: 1 plus the rings.
    fitted : NDArray[np.float64]
        The same of the fitted model.
    ctf_squared : NDArray[np.float64]
        sin² chi of the mean defocus, without any envelope.
    agreement : NDArray[np.float64]
        Local correlation of `measured` with `ctf_squared`, from -1 to 1: what the fit resolution is read from.
    plain : NDArray[np.float64]
        Power averaged over circles, in the image's units.
    """

    frequency_per_angstrom: NDArray[np.float64]
    measured: NDArray[np.float64]
    fitted: NDArray[np.float64]
    ctf_squared: NDArray[np.float64]
    agreement: NDArray[np.float64]
    plain: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class IceFigures:
    """What the spectrum says about ice; None where the image does not reach that resolution.

    Attributes
    ----------
    ring_density : float | None
        RELION 5's rlnCtfIceRingDensity: the sum of the absolute values of the radial profile between 0.25 and 0.28 1/Å,
        the profile computed as CTFFIND does for a spectrum of 512 px.
    relative_thickness : float | None
        Power at 3.58 to 3.80 Å over the mean of that at 4.05 to 4.3 Å and at 3.2 to 3.36 Å.
    iciness : float | None
        (mean amplitude at 3.5 to 3.9 Å over mean amplitude at 30 to 6 Å)²: Biyani et al. 2017 (Focus).
    """

    ring_density: float | None
    relative_thickness: float | None
    iciness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfEstimate:
    """The contrast transfer function of one image.

    Attributes
    ----------
    defocus_u_angstrom, defocus_v_angstrom : float
        Defocus along the two axes of astigmatism, Å; U is not less than V.
    angle_degrees : float
        Angle of U's axis, above -90 up to 90, of the image as it lies in its file.
    phase_shift_degrees : float
        Additional phase shift, from 0 to 180; 0 where it is not searched.
    phase_shift_searched : bool
        Whether it was.
    fit_resolution_angstrom : float
        Up to where the fit agrees with the spectrum, by CTFFIND's definition.
    score : float
        Correlation of the spectrum with the CTF's square between 30 and 5 Å, from -1 to 1.
    sigma_angstrom : float
        Standard error of the mean defocus, Å.
    sigma_astigmatism_angstrom : float
        Standard error of each component of (U - V) / 2, Å.
    significance : float
        How far the rings stand out of the noise, in standard deviations.
    margin : float
        Logarithm of the odds that this is the defocus, rather than any other.
    reliable : bool
        Whether rings are significant and no other defocus fits as well.
    reason : str
        Why it is not reliable, and what to try, as a sentence for people; empty if it is.
    tilt_degrees, tilt_axis_degrees : float | None
        Tilt of the specimen and its axis' angle, if defocus varies significantly over the image; else None.
    thickness_angstrom : float | None
        Thickness of the specimen, if the nodes of the rings show it.
    ice : IceFigures
        What the spectrum says about ice.
    profile : RadialProfile
        Spectrum and fit.
    measured_spectrum, fitted_spectrum : NDArray[np.float32]
        Power divided by its background, and the model of it; shape (2 r + 1, r + 1), zero frequency at [r, 0], rows
        along y: columns are kx from 0 to r.
    frequency_step_per_angstrom : float
        Between neighbouring rows and columns of these, 1/Å.
    tile_count : int
        Number of tiles whose spectra were averaged.
    """

    defocus_u_angstrom: float
    defocus_v_angstrom: float
    angle_degrees: float
    phase_shift_degrees: float
    phase_shift_searched: bool
    fit_resolution_angstrom: float
    score: float
    sigma_angstrom: float
    sigma_astigmatism_angstrom: float
    significance: float
    margin: float
    reliable: bool
    reason: str
    tilt_degrees: float | None
    tilt_axis_degrees: float | None
    thickness_angstrom: float | None
    ice: IceFigures
    profile: RadialProfile
    measured_spectrum: NDArray[np.float32]
    fitted_spectrum: NDArray[np.float32]
    frequency_step_per_angstrom: float
    tile_count: int

    @property
    def mean_defocus_angstrom(self) -> float:
        """Return the mean defocus."""
        return (self.defocus_u_angstrom + self.defocus_v_angstrom) / 2

    @property
    def astigmatism_angstrom(self) -> float:
        """Return U - V."""
        return self.defocus_u_angstrom - self.defocus_v_angstrom
