"""Does the gain reference fit the movie? A wrong rotation or mirroring is seen in the sum of its frames.

A camera's raw sum is the specimen divided by the (multiplicative) gain reference, pixel by pixel. So the raw sum
correlates with the inverse of the gain reference in its right orientation, and in no other; and the gain-corrected sum
correlates with a gain reference that should not have been applied that way. Everything slower than 16 px is removed
first: specimen and illumination vary slowly, pixels' sensitivities do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.correction.gain import turned
from preprocess.geometry.image_centre import centre_of, centre_slices
from preprocess.settings import GainSettings

SMOOTHING_PX = 16
LARGEST_SIDE_PX = 1024
MARGIN = 0.02
"""How much better another orientation must correlate before it is believed."""
RESIDUAL_LIMIT = 0.1
"""A gain-corrected sum that correlates more than this with its gain reference still shows it."""

Figure = NDArray[Any]

ORIENTATIONS: tuple[GainSettings, ...] = (
    GainSettings(),
    GainSettings(rotate_degrees=90),
    GainSettings(rotate_degrees=180),
    GainSettings(rotate_degrees=270),
    GainSettings(flip="y"),
    GainSettings(flip="x"),
    GainSettings(rotate_degrees=90, flip="y"),
    GainSettings(rotate_degrees=90, flip="x"),
)
"""All eight, each once; the first leaves the image as it is."""


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
        The settings under which the raw sum correlates best.
    best_raw_correlation : float
        That correlation.
    warning : str | None
        What a person should know, if anything.
    """

    residual_gain_correlation: float
    raw_correlation: float
    best: GainSettings
    best_raw_correlation: float
    warning: str | None


def check_gain(
    raw_centre: NDArray[np.float32],
    gain: NDArray[np.float32],
    defects: NDArray[np.int64],
    settings: GainSettings,
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
    divided : bool
        Whether the movie is divided by what the gain's file holds.
    """
    good, gain = _good_centre(gain, defects), centre_of(gain, LARGEST_SIDE_PX)
    inverse = _fast(np.divide(1, gain, out=np.ones_like(gain), where=good), good)
    raw, corrected = _fast(raw_centre, good), _fast(raw_centre * gain, good)
    used = _correlation(raw, inverse)
    residual = _correlation(corrected, _fast(gain, good))
    best, turn = used, ORIENTATIONS[0]
    for orientation in ORIENTATIONS[1:]:
        candidate = turned(inverse, orientation)
        correlation = _correlation(raw, candidate) if candidate.shape == raw.shape else 0.0
        if abs(correlation) > abs(best):
            best, turn = correlation, orientation
    settings_of_best = _composed(settings, turn)
    if best < 0:
        settings_of_best = replace(settings_of_best, operation="multiply" if divided else "divide")
    warning = None
    if abs(best) > used + MARGIN:
        warning = (
            f"the gain reference seems to have the wrong orientation: it fits best with {_flags(settings_of_best)} "
            f"(correlation with the raw sum {abs(best):.3f}, as given {used:.3f})"
        )
    elif residual > RESIDUAL_LIMIT:
        warning = (
            f"the gain-corrected sum still shows the gain reference (correlation {residual:.3f}): "
            "it may belong to another session, or the movie may be gain-corrected already"
        )
    return GainFit(
        residual_gain_correlation=residual,
        raw_correlation=used,
        best=settings_of_best,
        best_raw_correlation=abs(best),
        warning=warning,
    )


def _good_centre(gain: NDArray[np.float32], defects: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pixels in the middle have a gain and are no defects."""
    height, width = gain.shape
    rows, columns = centre_slices(height, width, LARGEST_SIDE_PX)
    good: NDArray[np.bool_] = gain[rows, columns] > 0
    y, x = defects // width - rows.start, defects % width - columns.start
    inside = (y >= 0) & (y < good.shape[0]) & (x >= 0) & (x < good.shape[1])
    good[y[inside], x[inside]] = False
    return good


def _fast(image: Figure, good: NDArray[np.bool_]) -> Figure:
    """Return the image less its local mean; defects and pixels beyond 6 standard deviations become 0."""
    filled = np.where(good, image, image[good].mean(dtype=np.float64) if good.any() else 0).astype(np.float32)
    filled -= scipy.ndimage.uniform_filter(filled, SMOOTHING_PX, mode="reflect")
    filled[~good] = 0
    limit = 6 * filled.std(dtype=np.float64)
    return np.where(np.abs(filled) > limit, 0, filled).astype(np.float32)


def _correlation(one: Figure, other: Figure) -> float:
    norm = np.sqrt(np.vdot(one, one).astype(np.float64) * np.vdot(other, other).astype(np.float64))
    return float(np.sum(one * other, dtype=np.float64) / norm) if norm > 0 else 0.0


def _composed(settings: GainSettings, turn: GainSettings) -> GainSettings:
    """Return the settings that do what `settings` do and then turn further."""
    probe = np.arange(4).reshape(2, 2)
    wanted = turned(turned(probe, settings), turn)
    best = next(way for way in ORIENTATIONS if np.array_equal(turned(probe, way), wanted))
    return replace(settings, rotate_degrees=best.rotate_degrees, flip=best.flip)


def _flags(settings: GainSettings) -> str:
    operation = "" if settings.operation == "auto" else f" --gain-operation {settings.operation}"
    return f"--gain-rotate {settings.rotate_degrees} --gain-flip {settings.flip}{operation}"
