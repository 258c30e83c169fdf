"""Does the gain reference fit the movie? A wrong rotation or mirroring is seen in the sum of its frames.

A camera's raw sum is the specimen divided by the (multiplicative) gain reference, pixel by pixel. So the raw sum
correlates with the inverse of the gain reference in its right orientation, and in no other; and the gain-corrected sum
correlates with a gain reference that should not have been applied that way. Everything slower than 16 px is removed
first: specimen and illumination vary slowly, pixels' sensitivities do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.gain_turns import ORIENTATIONS, options_of, turned, turned_further
from preprocess.correction.orientation_evidence import Fit, Judgement, evidence_of, fast_part, judged
from preprocess.geometry.image_centre import centre_of, centre_slices
from preprocess.settings import GainSettings

LARGEST_SIDE_PX = 1024
MARGIN = 0.02
"""How much better another orientation must correlate before it is believed."""
RESIDUAL_LIMIT = 0.1
"""A gain-corrected sum that correlates more than this with its gain reference still shows it."""

Figure = NDArray[Any]


class GainDecision(StrEnum):
    """How it was decided which way a gain reference lies."""

    GIVEN = "given"  # by options
    KEPT = "kept"  # it fits as its file lies, or as a sidecar says; or it hardly varies
    TURNED = "turned"  # another orientation fits, and is used
    UNSURE = "unsure"  # the movies do not show it: as its file lies, or as a sidecar says


@dataclass(frozen=True, slots=True, kw_only=True)
class GainFit:
    """How the gain reference fits.

    Attributes
    ----------
    residual_gain_correlation : float
        Correlation of the gain-corrected sum with the gain reference; near 0 when it fits.
    raw_correlation : float
        Correlation of the raw sum with the inverse of the gain reference; clearly above 0 when it fits.
    best : GainSettings
        The settings that the raw sum fits best.
    best_raw_correlation : float
        The same correlation with them.
    decision : GainDecision
        How it was decided which way the gain reference lies.
    standard_errors : float
        By how many standard errors this movie, for itself, shows the best orientation better than any other.
    contrast_share : float
        How much of the gain's contrast this movie shows in it; about 1 when it fits.
    warning_code, warning : str | None
        What a person should know, if anything.
    """

    residual_gain_correlation: float
    raw_correlation: float
    best: GainSettings
    best_raw_correlation: float
    decision: GainDecision
    standard_errors: float
    contrast_share: float
    warning_code: str | None
    warning: str | None


def check_gain(
    raw_centre: NDArray[np.float32],
    gain: NDArray[np.float32],
    defects: NDArray[np.int64],
    settings: GainSettings,
    judgement: Judgement | None = None,
    decision: GainDecision = GainDecision.GIVEN,
    *,
    divided: bool = False,
) -> GainFit:
    """Compare the sum of the raw, unaligned frames with the gain reference in all its orientations.

    Parameters
    ----------
    raw_centre : NDArray[np.float32]
        The middle of that sum, as `centre_of` takes it out, LARGEST_SIDE_PX high and wide at most.
    gain : NDArray[np.float32]
        Shape (height, width), as it was applied, multiplicative.
    defects : NDArray[np.int64]
        Flat indices into the gain of pixels to leave out.
    settings : GainSettings
        How the gain reference was turned, so that the warning can name the flags to give instead.
    judgement : Judgement | None
        What this movie says, with the gain as it was applied; None: that is found out here.
    decision : GainDecision
        Why it was turned so.
    divided : bool
        Whether the movie is divided by what the gain's file holds.
    """
    good, gain = _good_centre(gain, defects), centre_of(gain, LARGEST_SIDE_PX)
    judgement = judgement or judged(evidence_of(raw_centre, gain))
    inverse = fast_part(np.divide(1, gain, out=np.ones_like(gain), where=good), good)
    raw, corrected = fast_part(raw_centre, good), fast_part(raw_centre * gain, good)
    used = _correlation(raw, inverse)
    residual = _correlation(corrected, fast_part(gain, good))
    turn = ORIENTATIONS[judgement.best]
    best = _correlation(raw, turned(inverse, turn)) if judgement.best else used
    settings_of_best = in_other_way(settings, turn, is_inverted=best < 0, divided=divided)
    code, warning = None, None
    if decision is not GainDecision.UNSURE and (judgement.changes_something or abs(best) > used + MARGIN):
        code = "gain-does-not-fit"
        warning = (
            "the gain reference seems to have the wrong orientation: it fits best with"
            f" {options_of(settings_of_best)} (correlation with the raw sum {abs(best):.3f}, as given {used:.3f})"
        )
    elif decision in _WARNINGS:
        code, warning = _WARNINGS[decision](settings, judgement)
    elif residual > RESIDUAL_LIMIT:
        code = "gain-does-not-fit"
        warning = (
            f"the gain-corrected sum still shows the gain reference (correlation {residual:.3f}): "
            "it may belong to another session, or the movie may be gain-corrected already"
        )
    return GainFit(
        residual_gain_correlation=residual,
        raw_correlation=used,
        best=settings_of_best,
        best_raw_correlation=abs(best),
        decision=decision,
        standard_errors=judgement.standard_errors,
        contrast_share=judgement.share,
        warning_code=code,
        warning=warning,
    )


def in_other_way(settings: GainSettings, turn: GainSettings, *, is_inverted: bool, divided: bool) -> GainSettings:
    """Return the settings that turn further than `settings` do, and multiply where those divide, if it is inverted."""
    further = turned_further(settings, turn)
    return replace(further, operation="multiply" if divided else "divide") if is_inverted else further


def _turned_warning(settings: GainSettings, _judgement: Judgement) -> tuple[str, str]:
    return "gain-turned", (
        "the gain reference does not fit the movies as it lies: it was turned so that it fits, as with"
        f" {options_of(settings)}; give these options to say that this is right"
    )


def _unsure_warning(settings: GainSettings, judgement: Judgement) -> tuple[str, str]:
    if judgement.fit is Fit.NONE:
        return "gain-does-not-fit", (
            "the movie shows the gain reference in none of its orientations: it may be gain-corrected already, or the"
            " gain reference may belong to another camera or session"
        )
    return "gain-orientation-unsure", (
        f"the movie is too faint to tell which orientation of the gain reference fits: {options_of(settings)} is used;"
        " compare with a brighter movie, or give --gain-rotate and --gain-flip"
    )


_WARNINGS = {GainDecision.TURNED: _turned_warning, GainDecision.UNSURE: _unsure_warning}


def _good_centre(gain: NDArray[np.float32], defects: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pixels in the middle have a gain and are no defects."""
    height, width = gain.shape
    rows, columns = centre_slices(height, width, LARGEST_SIDE_PX)
    good: NDArray[np.bool_] = gain[rows, columns] > 0
    y, x = defects // width - rows.start, defects % width - columns.start
    inside = (y >= 0) & (y < good.shape[0]) & (x >= 0) & (x < good.shape[1])
    good[y[inside], x[inside]] = False
    return good


def _correlation(one: Figure, other: Figure) -> float:
    norm = np.sqrt(np.vdot(one, one).astype(np.float64) * np.vdot(other, other).astype(np.float64))
    return float(np.sum(one * other, dtype=np.float64) / norm) if norm > 0 else 0.0
