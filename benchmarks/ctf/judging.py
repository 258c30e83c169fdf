"""Compares an answer with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.ctf.answers import CtfAnswer
from preprocess.simulation.micrograph_settings import MicrographSettings

FIXED_ANGSTROM = 50.0
RULE_SHARE, RIGHT_SHARE = 0.01, 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfErrors:
    """How far an answer is off.

    Attributes
    ----------
    defocus_error_angstrom : float
        Mean defocus, answer minus truth, Å.
    defocus_error_percent : float
        Its size in % of the true mean defocus.
    astigmatism_error_angstrom : float
        Length of the difference of the astigmatism as vectors, (U - V) at twice the angle, Å.
    within_rule : bool
        U and V are both within 50 Å + 1 % of the truth.
    right : bool
        They are within 50 Å + 3 %.
    error_in_sigmas : float | None
        Error of the mean defocus over the stated one.
    phase_error_degrees : float
        Size of the phase shift's error, modulo 180.
    """

    defocus_error_angstrom: float
    defocus_error_percent: float
    astigmatism_error_angstrom: float
    within_rule: bool
    right: bool
    error_in_sigmas: float | None
    phase_error_degrees: float


def judge(answer: CtfAnswer, truth: MicrographSettings) -> CtfErrors | None:
    """Return how far an answer is off; None: there is none, or the image shows nothing that could be known."""
    if answer.failure or not truth.has_rings:
        return None
    true_mean = (truth.defocus_u_angstrom + truth.defocus_v_angstrom) / 2
    error = answer.mean_defocus_angstrom - true_mean
    off = abs(_vector(answer) - _vector(truth))
    turn = (answer.phase_shift_degrees - truth.phase_shift_degrees + 90) % 180 - 90
    return CtfErrors(
        defocus_error_angstrom=error,
        defocus_error_percent=100 * abs(error) / true_mean,
        astigmatism_error_angstrom=float(off),
        within_rule=_within(answer, truth, RULE_SHARE),
        right=_within(answer, truth, RIGHT_SHARE),
        error_in_sigmas=error / answer.sigma_angstrom if answer.sigma_angstrom else None,
        phase_error_degrees=abs(turn),
    )


def _vector(of: CtfAnswer | MicrographSettings) -> complex:
    length = of.defocus_u_angstrom - of.defocus_v_angstrom
    return complex(length * np.exp(2j * np.deg2rad(of.angle_degrees)))


def _within(answer: CtfAnswer, truth: MicrographSettings, share: float) -> bool:
    pairs = (
        (answer.defocus_u_angstrom, truth.defocus_u_angstrom),
        (answer.defocus_v_angstrom, truth.defocus_v_angstrom),
    )
    return all(abs(found - true) <= FIXED_ANGSTROM + share * true for found, true in pairs)
