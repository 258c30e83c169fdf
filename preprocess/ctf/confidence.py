"""Decides whether an estimate can be relied upon, and says why not.

The limits were chosen on some 600 simulated images of two generators that know nothing of each other; nearly half of
the images have no rings, or none that can be fitted. docs/benchmarks.md has what they let pass of others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from preprocess.ctf.held_out import HeldOut

LEAST_MARGIN = 8.0
"""Noise alone reached 4.8."""
LEAST_GAIN, LEAST_GAIN_WITHOUT_BEST_RING = 5.0, 5.0
LARGEST_FAINT_GAIN = 25.0
"""Up to this the rings are said to be faint, beyond it to be others than a CTF's."""
LEAST_SCORE = 0.25
"""Crystals, bands of a camera, edges of a foil reached 0.19; right answers that pass all else have 0.3 and more."""
UNEXPLAINED_ALLOWED, UNEXPLAINED_SHARE, SUFFICIENT_SCORE = 150.0, 0.9, 0.6
"""What is unexplained does not count where the rings coarser than 5 Å fit so well: crystals of ice lie beyond them.
Images without a CTF that had much of it reached 0.15, right answers had 0.67 and more."""
LARGEST_HALVES_DIFFERENCE = 4.5
ALLOWED_ANGSTROM, ALLOWED_SHARE = 50.0, 0.03
SIGMAS_ALLOWED = 3.3
"""The error that is allowed for U and V, and how many standard errors have to fit into it."""
LARGEST_PHASE_RAD, LARGEST_PHASE_SIGMAS = 0.15, 5.0
LARGEST_ABERRATION_RAD, LARGEST_ABERRATION_SIGMAS = 0.4, 5.0
"""Right values gave up to 3.2 standard errors of the curvature on simulated micrographs, 5.4 on a movie of 512 x 512
px with strong rings; `model_error` widens those. A voltage that is wrong gave 0.7 to 1.5 rad where the spherical
aberration is 1.4 mm or more and the rings reach far enough."""
LARGEST_RELATIVE_ASTIGMATISM = 0.3
AT_THE_END, AT_THE_END_OF_RANGE = 0.01, 0.1
"""How close to an end of the range a defocus lies at it, as a share of the end; at most that share of the range."""

_IF_RINGS_ARE_SEEN = (
    "if rings are to be seen, check voltage and pixel size, search a wider range of defocus, and the phase shift if a"
    " phase plate was used."
)
"""What to do where the search may have gone by the true values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMisfit:
    """By how much a phase of the rings, let free, differs from the one that was given, rad."""

    phase: float
    sigma: float

    def widened(self, factor: float) -> PhaseMisfit:
        """Return the same with a standard error that is `factor` times as large."""
        return replace(self, sigma=self.sigma * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceFigures:
    """What is known about how well a fit is determined; see `CtfEstimate`. Lengths in Å.

    `half_astigmatism` is (U - V) / 2, `sigma` the standard error of the mean defocus and `sigma_astigmatism` that of
    `half_astigmatism`; `reach` is how far from the fit others lie that are nearly as likely and near to it; `rival` is
    the other defocus that fits best; `lowest` and `highest` are the ends of the range that was searched; `misfit` is
    None where the phase shift was sought; `aberration` is the same at 4 Å of the part that grows with k⁴.
    """

    defocus: float
    half_astigmatism: float
    sigma: float
    sigma_astigmatism: float
    significance: float
    margin: float
    rival: float | None
    held_out: HeldOut
    misfit: PhaseMisfit | None
    aberration: PhaseMisfit | None
    reach: float
    lowest: float
    highest: float


def why_unreliable(figures: ConfidenceFigures, score: float) -> str:
    """Return why an estimate cannot be relied upon, and what to try, as sentences for people; empty if it can."""
    return (
        _no_rings(figures) or _not_a_ctf(figures, score) or _ambiguous(figures) or _inexact(figures) or _misfit(figures)
    )


def _no_rings(figures: ConfidenceFigures) -> str:
    gain, beside = figures.held_out.gain, figures.held_out.gain_without_best_ring
    if gain > LEAST_GAIN and (beside > LEAST_GAIN_WITHOUT_BEST_RING or gain > LARGEST_FAINT_GAIN):
        return ""
    stand = "No rings stand" if gain <= LEAST_GAIN else "The rings hardly stand"
    return (
        f"{stand} out from the noise. Check that the image shows a specimen; a faint image needs more dose;"
        f" {_IF_RINGS_ARE_SEEN}"
    )


def _not_a_ctf(figures: ConfidenceFigures, score: float) -> str:
    """Look for what is the same in the whole spectrum and no CTF."""
    if figures.held_out.gain_without_best_ring <= LEAST_GAIN_WITHOUT_BEST_RING:
        return (
            "A single ring of the spectrum carries the fit, or only rings of ice do. Look for ice crystals, a foil's"
            f" edge or a strong water ring; {_IF_RINGS_ARE_SEEN}"
        )
    most = max(UNEXPLAINED_ALLOWED, UNEXPLAINED_SHARE * figures.held_out.gain)
    if score <= LEAST_SCORE or (score <= SUFFICIENT_SCORE and figures.held_out.unexplained > most):
        return (
            "Something other than a CTF dominates the spectrum. Look for ice crystals, a foil's edge or a pattern of"
            f" the camera; {_IF_RINGS_ARE_SEEN}"
        )
    return ""


def _ambiguous(figures: ConfidenceFigures) -> str:
    most = AT_THE_END_OF_RANGE * (figures.highest - figures.lowest)
    lowest = figures.lowest + min(AT_THE_END * figures.lowest, most)
    if not lowest < figures.defocus < figures.highest - min(AT_THE_END * figures.highest, most):
        return (
            f"The best fit lies at the end of the searched range, at {figures.defocus / 1e4:.2f} µm. Search a wider"
            " range of defocus."
        )
    if figures.margin > LEAST_MARGIN:
        return ""
    other = "" if figures.rival is None else f", {figures.rival / 1e4:.2f} µm,"
    nearly = " nearly" if figures.margin > LEAST_MARGIN / 2 else ""
    return (
        f"Another defocus{other} fits{nearly} as well. The image is faint: compare with its neighbours, or record with"
        " more dose."
    )


def _inexact(figures: ConfidenceFigures) -> str:
    allowed = ALLOWED_ANGSTROM + ALLOWED_SHARE * figures.defocus
    uncertain = float((figures.sigma**2 + figures.sigma_astigmatism**2) ** 0.5)
    if uncertain * SIGMAS_ALLOWED >= allowed:
        return (
            f"The defocus is uncertain by {uncertain:.0f} Å along its axes, because the rings are faint. Compare with"
            " its neighbours, or record with more dose."
        )
    if figures.reach >= allowed:
        return (
            f"Another defocus, {figures.reach:.0f} Å away, fits nearly as well, because few rings are to be seen."
            " Compare with its neighbours, or record with more dose."
        )
    if abs(figures.held_out.difference_in_sigmas) >= LARGEST_HALVES_DIFFERENCE:
        return (
            "Two halves of the spectrum give different defoci. Look for two layers at different heights, drift or ice"
            " crystals."
        )
    if figures.half_astigmatism >= LARGEST_RELATIVE_ASTIGMATISM * figures.defocus:
        return "The astigmatism that fits best is larger than a microscope's. Check the image for drift or crystals."
    return ""


def _misfit(figures: ConfidenceFigures) -> str:
    """Look for rings whose spacing is none that this microscope can make."""
    constant = _is_misfit(figures.misfit, LARGEST_PHASE_RAD, LARGEST_PHASE_SIGMAS)
    if not constant and not _is_misfit(figures.aberration, LARGEST_ABERRATION_RAD, LARGEST_ABERRATION_SIGMAS):
        return ""
    return (
        "The rings do not fit this voltage, spherical aberration and pixel size. Check them; search the phase shift if"
        " a phase plate was used; the image may be overfocused."
    )


def _is_misfit(found: PhaseMisfit | None, largest: float, sigmas: float) -> bool:
    return found is not None and abs(found.phase) >= max(largest, sigmas * found.sigma)
