"""CTF estimates made from a formula, as an estimation that succeeds would return them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.estimate import CtfEstimate, IceFigures, RadialProfile
from preprocess.ctf.optics import CtfOptics

OPTICS = CtfOptics(pixel_size_angstrom=1.0, voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.1)
SIDE, LAST = 1024, 360


def phase(k: Any, defocus: Any, optics: CtfOptics, phase_shift_degrees: float = 0.0) -> NDArray[np.float64]:
    """The chi of `CtfEstimate`."""
    wavelength = optics.wavelength_angstrom
    chi: NDArray[np.float64] = (
        np.pi * wavelength * defocus * k**2
        - 0.5 * np.pi * optics.cs_mm * 1e7 * wavelength**3 * k**4
        + np.radians(phase_shift_degrees)
        + optics.contrast_phase
    )
    return chi


def estimate_of(
    u: float = 12_000.0, v: float = 11_400.0, angle: float = 30.0, *, optics: CtfOptics = OPTICS, **others: Any
) -> CtfEstimate:
    """The estimate of an image with this defocus; other values of it as they are named."""
    step, random = 1 / (SIDE * optics.pixel_size_angstrom), np.random.default_rng(0)
    shift = others.get("phase_shift_degrees", 0.0)
    y, x = np.indices((2 * LAST + 1, LAST + 1), np.float64) - [[[LAST]], [[0]]]
    k = np.hypot(y, x) * step
    defocus = (u + v) / 2 + (u - v) / 2 * np.cos(2 * (np.arctan2(y, x) - np.radians(angle)))

    def power(k: NDArray[np.float64], defocus: Any) -> NDArray[np.float64]:
        rings: NDArray[np.float64] = 1 - 0.5 * np.exp(-40 * k**2) * np.cos(2 * phase(k, defocus, optics, shift))
        return rings

    radial = np.arange(LAST + 1) * step
    fitted, circular = power(k, defocus), power(radial, (u + v) / 2)
    profile = RadialProfile(
        frequency_per_angstrom=radial,
        measured=circular + random.normal(0, 0.01, len(radial)),
        fitted=circular,
        ctf_squared=np.sin(phase(radial, (u + v) / 2, optics, shift)) ** 2,
        agreement=np.clip(1.2 - radial * 3, -1, 1),
        plain=circular * np.exp(-5 * radial) * 1000,
    )
    estimate = CtfEstimate(
        defocus_u_angstrom=u,
        defocus_v_angstrom=v,
        angle_degrees=angle,
        phase_shift_degrees=shift,
        phase_shift_searched="phase_shift_degrees" in others,
        fit_resolution_angstrom=4.2,
        score=0.234567,
        sigma_angstrom=12.3,
        sigma_astigmatism_angstrom=9.0,
        significance=40.0,
        margin=200.0,
        reliable=True,
        reason="",
        tilt_degrees=None,
        tilt_axis_degrees=None,
        thickness_angstrom=None,
        ice=IceFigures(ring_density=3.2, relative_thickness=1.1, iciness=0.4),
        profile=profile,
        measured_spectrum=(fitted * random.gamma(40, 1 / 40, fitted.shape)).astype(np.float32),
        fitted_spectrum=fitted.astype(np.float32),
        frequency_step_per_angstrom=step,
        tile_count=49,
    )
    return replace(estimate, **others)
