"""Decides whether an estimate can be relied upon, and says why not."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_SIGNIFICANCE = 6.0
LEAST_MARGIN = 10.0
LARGEST_RELATIVE_SIGMA = 0.03
LEAST_SCORE = 0.05
LARGEST_RELATIVE_ASTIGMATISM = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceFigures:
    """What is known about how well a fit is determined; see `CtfEstimate`. Lengths in Å.

    `half_astigmatism` is (U - V) / 2; `lowest` and `highest` are the ends of the range that was searched.
    """

    defocus: float
    half_astigmatism: float
    sigma: float
    significance: float
    margin: float
    score: float
    lowest: float
    highest: float
    tile_count: int


def why_unreliable(figures: ConfidenceFigures) -> str:
    """Return why an estimate cannot be relied upon, and what to try, as sentences for people; empty if it can."""
    if figures.significance <= LEAST_SIGNIFICANCE or figures.score <= LEAST_SCORE:
        return (
            "No rings stand out from the noise. Check that the image shows a specimen, and that voltage and pixel size"
            " are right."
        )
    if not figures.lowest < figures.defocus < figures.highest:
        return (
            f"The best fit lies at the end of the searched range, at {figures.defocus / 1e4:.2f} µm. Search a wider"
            " range of defocus."
        )
    if figures.margin <= LEAST_MARGIN:
        return (
            "Another defocus fits nearly as well. The image is faint, or its defocus is too low to tell; check voltage"
            " and pixel size."
        )
    if figures.sigma >= LARGEST_RELATIVE_SIGMA * figures.defocus:
        return f"The defocus is uncertain by {figures.sigma:.0f} Å, because the rings are faint."
    if figures.half_astigmatism >= LARGEST_RELATIVE_ASTIGMATISM * figures.defocus:
        return "The astigmatism that fits best is larger than a microscope's. Check the image for drift or crystals."
    return ""
