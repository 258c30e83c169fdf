"""CTF results in the two text files of CTFFIND 5, which other programs read: `STEM_ctf.txt` and `STEM_ctf_avrot.txt`.

Lines and columns are CTFFIND's; the first line names this software, and no time. What CTFFIND measures in another way
is said at the function that writes it.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.optics import CtfOptics
from preprocess.outputs.report import software_label
from preprocess.outputs.scaled_rings import scaled_profile
from preprocess.settings import CtfSettings

_LOWEST_RESOLUTION_ANGSTROM = 30.0
_COLUMNS = (
    "# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism;"
    " #5 - additional phase shift [radians]; #6 - cross correlation; #7 - spacing (in Angstroms) up to which CTF rings"
    " were fit successfully; #8 - Estimated tilt axis angle; #9 - Estimated tilt angle ; #10 Estimated sample thickness"
    " (in Angstroms)"
)
_ROWS = (
    "# 6 lines per micrograph: #1 - spatial frequency (1/Angstroms); #2 - 1D rotational average of spectrum (assuming"
    " no astigmatism); #3 - 1D rotational average of spectrum; #4 - CTF fit; #5 - cross-correlation between spectrum"
    " and CTF fit; #6 - 2sigma of expected cross correlation of noise"
)


def ctffind_txt(estimate: CtfEstimate, optics: CtfOptics, settings: CtfSettings, micrograph: str) -> str:
    """Return the results: one line of ten numbers, the phase shift in rad; what was not measured is 0."""
    numbers = (
        1.0,
        estimate.defocus_u_angstrom,
        estimate.defocus_v_angstrom,
        estimate.angle_degrees,
        math.radians(estimate.phase_shift_degrees),
        estimate.score,
        estimate.fit_resolution_angstrom,
        estimate.tilt_axis_degrees or 0.0,
        estimate.tilt_degrees or 0.0,
        estimate.thickness_angstrom or 0.0,
    )
    return "\n".join([*_head(estimate, optics, settings, micrograph), _COLUMNS, _line(numbers), ""])


def ctffind_avrot(estimate: CtfEstimate, optics: CtfOptics, settings: CtfSettings, micrograph: str) -> str:
    """Return the radial profiles: six lines of numbers.

    Lines are amplitudes, as CTFFIND has them: line 2 that over circles, divided by its course without rings, less 1;
    line 3 that along the rings, scaled to lie between 0 and 1; line 4 |CTF|.
    """
    profile = estimate.profile
    scaled = scaled_profile(profile)
    rows = (
        _line(profile.frequency_per_angstrom),
        _narrow_line(_without_course(profile.plain)),
        _line(np.copysign(np.sqrt(np.abs(scaled)), scaled)),
        _line(np.sqrt(profile.ctf_squared)),
        _line(profile.agreement),
        _line(2 / np.sqrt(2 * _window_bins(profile.ctf_squared) + 1)),
    )
    *head, last = _head(estimate, optics, settings, micrograph)
    return "\n".join([*head, f"{last}; num. frames averaged: 1", _ROWS, *rows, ""])


def _head(estimate: CtfEstimate, optics: CtfOptics, settings: CtfSettings, micrograph: str) -> list[str]:
    box = round(1 / (estimate.frequency_step_per_angstrom * optics.pixel_size_angstrom))
    finest = 1 / (estimate.frequency_step_per_angstrom * (estimate.fitted_spectrum.shape[1] - 1))
    lowest, highest = settings.lowest_defocus_angstrom, settings.highest_defocus_angstrom
    return [
        f"# Output from {software_label()}, as CTFFind version 5 prints it",
        f"# Input file: {micrograph} ; Number of micrographs: 1",
        f"# Pixel size: {optics.pixel_size_angstrom:.3f} Angstroms ; acceleration voltage: {optics.voltage_kv:.1f} keV"
        f" ; spherical aberration: {optics.cs_mm:.2f} mm ; amplitude contrast: {optics.amplitude_contrast:.2f}",
        f"# Box size: {box} pixels ; min. res.: {_LOWEST_RESOLUTION_ANGSTROM:.1f} Angstroms ; max. res.: {finest:.1f}"
        f" Angstroms ; min. def.: {lowest / 1e4:.1f} um; max. def. {highest / 1e4:.1f} um",
    ]


def _line(numbers: tuple[float, ...] | NDArray[np.float64]) -> str:
    """Return numbers with six decimals, as CTFFIND's writer of texts prints them; infinity is `inf` there too."""
    return " ".join(f"{float(number) + 0.0:.6f}" for number in np.nan_to_num(numbers, posinf=np.inf))


def _narrow_line(numbers: NDArray[np.float64]) -> str:
    """Return numbers as CTFFIND prints the one line that it holds in single precision."""
    return " ".join(f"{number + 0.0:14.5f}" for number in numbers.tolist())


def _without_course(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the amplitude divided by its smooth course, less 1."""
    least = max(float(np.nan_to_num(power).max()) * 1e-12, 1e-30)
    log = np.log(np.maximum(np.nan_to_num(power), least))
    course = scipy.ndimage.gaussian_filter1d(log, len(log) / 20, mode="nearest")
    return np.asarray(np.expm1((log - course) / 2))


def _window_bins(ctf_squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the number of bins over which CTFFIND correlates, from the distance of the CTF's extrema."""
    count = len(ctf_squared)
    width = np.full(count, max(1, count // 40), np.float64)
    steps = np.sign(np.diff(ctf_squared))
    extrema = np.flatnonzero(steps[1:] * steps[:-1] < 0) + 1
    for number, (first, last) in enumerate(zip([0, *extrema[:-1]], extrema, strict=True), start=1):
        wide = int((1 + 0.1 * number) * (last - first + 1))
        width[first:last] = min(max(width[first], wide), count // 2 - 1)
    if extrema.size:
        width[extrema[-1] :] = width[extrema[-1] - 1]
    return width
