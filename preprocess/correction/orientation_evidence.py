"""Judges which orientation of a gain reference movies show, and how sure that is.

A raw sum is the specimen times each pixel's sensitivity, the inverse of the (multiplicative) gain. What changes slowly
is removed from both. In blocks of the image, the raw sum is compared with the inverse gain in each orientation;
blocks of much contrast or few counts count less. The error of a difference between two orientations is taken from how
much the blocks differ, so that no assumption about noise or specimen enters. Evidence of several movies is added up.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.gain_turns import ORIENTATIONS, turned
from preprocess.image_filters import box_filter
from preprocess.settings import GainSettings

SMOOTHING_PX = 16
CLEAR, CLEAR_AS_TAKEN = 5.0, 3.0
"""By how many standard errors an orientation must fit better than every other one, and than none; the one in which the
gain was taken, which is likely to be right from the start, needs less."""
LEAST_SHARE = 0.3
"""Of the gain's contrast that a raw sum must show in the orientation that is believed."""
INVERSE_SHARES = (0.8, 1.25)
"""The same for a gain that divides where it was to multiply: a movie that was corrected with a noisy gain shows that
noise, which looks like a smaller share."""
ALIKE = 0.98
"""Two orientations whose images correlate so much are one."""
FLAT = 0.003
"""A gain that varies less from pixel to pixel (root mean square) may lie in any way."""
SENSITIVE = 20.0
"""Movies that would show the gain at so many standard deviations of their noise show none if they show it not."""
_SMALLEST_BLOCK_PX, _LARGEST_BLOCK_PX, _BLOCKS_ALONG = 8, 64, 16
_HOT, _MOST, _EVERY = 3.0, 99.9, 3
"""Pixels of so many times the counts of 99.9 % of them are left out; every third one along each axis is asked."""
_DARK = 0.05
"""Blocks with fewer counts, relative to the mean, say nothing."""

Figure = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrientationEvidence:
    """What movies say about the orientations of one gain reference, all relative to how it was taken.

    Sums over blocks, weighted by each block's noise; values are those of `ORIENTATIONS`, zero where it does not fit.

    Attributes
    ----------
    products : tuple[float, ...]
        Raw sum times inverse gain.
    squares : tuple[float, ...]
        8 x 8, in rows: of the blocks' products, each with each.
    gram : tuple[float, ...]
        8 x 8, in rows: inverse gain times inverse gain, each orientation with each.
    contrast : float
        Root mean square of the fast part of the inverse gain.
    blocks, movies : int
        How many they are.
    """

    products: tuple[float, ...]
    squares: tuple[float, ...]
    gram: tuple[float, ...]
    contrast: float
    blocks: int
    movies: int = 1

    def __add__(self, other: OrientationEvidence) -> OrientationEvidence:
        """Return the evidence of both."""
        return OrientationEvidence(
            products=_added(self.products, other.products),
            squares=_added(self.squares, other.squares),
            gram=_added(self.gram, other.gram),
            contrast=max(self.contrast, other.contrast),
            blocks=self.blocks + other.blocks,
            movies=self.movies + other.movies,
        )


class Fit(StrEnum):
    """What is known about an orientation."""

    CLEAR = "clear"  # the best one fits better than all others beyond doubt
    FLAT = "flat"  # the gain hardly varies: its orientation matters little
    NONE = "none"  # the movies would show the gain if it was theirs, and show it in no orientation
    FAINT = "faint"  # the movies do not say enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What evidence says.

    Attributes
    ----------
    best : int
        Number of the best orientation in `ORIENTATIONS`.
    is_inverted : bool
        Whether the gain fits if it divides where it was to multiply, or the other way round.
    share : float
        How much of the gain's contrast the raw sum shows in it: about 1 where it fits.
    standard_errors : float
        By how many it fits better than the next one.
    """

    fit: Fit
    best: int
    is_inverted: bool
    share: float
    standard_errors: float
    movies: int

    @property
    def changes_something(self) -> bool:
        """Return whether the gain reference clearly fits in another way than it was taken."""
        return self.fit is Fit.CLEAR and (self.best != 0 or self.is_inverted)


def fast_part(image: Figure, good: NDArray[np.bool_]) -> Figure:
    """Return the image less its local mean; defects and pixels beyond 6 standard deviations become 0."""
    filled = np.where(good, image, image[good].mean(dtype=np.float64) if good.any() else 0).astype(np.float32)
    filled -= box_filter(filled, SMOOTHING_PX)
    filled[~good] = 0
    limit = 6 * filled.std(dtype=np.float64)
    return np.where(np.abs(filled) > limit, 0, filled).astype(np.float32)


def evidence_of(raw: Figure, gain: Figure, *, threads: int = 1) -> OrientationEvidence:
    """Return what one movie says.

    Parameters
    ----------
    raw
        The middle of the raw sum.
    gain
        The same part of the gain that the movie would be multiplied by; 0: a defect.
    threads
        1: this thread alone; otherwise one more.
    """
    good = (gain > 0) & (raw <= _HOT * np.percentile(raw[::_EVERY, ::_EVERY], _MOST))
    inverse = np.divide(1, gain, out=np.ones_like(gain), where=good)
    raw = np.where(good, raw, raw[good].mean(dtype=np.float64) if good.any() else 0).astype(np.float32)
    if threads == 1:
        inverse, fast = fast_part(inverse, good), fast_part(raw, good)
    else:
        with ThreadPoolExecutor(1, thread_name_prefix="gain") as beside:
            of_gain = beside.submit(fast_part, inverse, good)
            fast, inverse = fast_part(raw, good), of_gain.result()
    size = min(max(min(raw.shape) // _BLOCKS_ALONG, _SMALLEST_BLOCK_PX), _LARGEST_BLOCK_PX)
    mean = _blocks(raw, size) / size**2
    used = mean > _DARK * max(float(mean.mean()), 0)
    variance = _blocks(fast * fast, size) / size**2
    used &= variance > 0
    weight = np.zeros_like(mean)
    np.divide(mean, variance, out=weight, where=used)  # of fast * inverse; fast / mean has variance / mean ** 2
    views = _views(inverse, raw.shape)
    products = np.stack(
        [np.zeros(mean.shape) if view is None else weight * _blocks(fast * view, size) for view in views]
    )[:, used]
    power = (weight * mean)[used].sum() / max(np.count_nonzero(used), 1)
    return OrientationEvidence(
        products=_numbers(products.sum(1)),
        squares=_numbers(products @ products.T),
        gram=_numbers(_gram(views) * power * (np.count_nonzero(used) / max(used.size, 1))),
        contrast=float(np.sqrt(np.mean(inverse**2, dtype=np.float64))),
        blocks=int(np.count_nonzero(used)),
    )


def judged(evidence: OrientationEvidence) -> Judgement:
    """Judge the evidence: all orientations, and whether the gain multiplies or divides."""
    products, gram = np.array(evidence.products), np.array(evidence.gram).reshape(8, 8)
    squares, norms = np.array(evidence.squares).reshape(8, 8), np.sqrt(np.diag(gram))
    candidates = [(k, sign) for k in range(8) if norms[k] > 0 for sign in (1, -1)]
    unit = {(k, sign): np.eye(8)[k] * sign / norms[k] for k, sign in candidates}
    if not candidates:
        return Judgement(fit=Fit.FLAT, best=0, is_inverted=False, share=0, standard_errors=0, movies=evidence.movies)
    best = max(candidates, key=lambda candidate: float(unit[candidate] @ products))
    alike = [each for each in candidates if _likeness(best, each, gram, norms) >= ALIKE]
    best = alike[0] if alike[0] == (0, 1) else best
    rest = [np.zeros(8), *(unit[each] for each in candidates if each not in alike)]
    sure = min(_standard_errors(unit[best] - other, products, squares, evidence.blocks) for other in rest)
    share = float(unit[best] @ products / norms[best[0]])
    return Judgement(
        fit=_fit(evidence, best, sure, share, float(norms.max())),
        best=best[0],
        is_inverted=best[1] < 0,
        share=share,
        standard_errors=sure,
        movies=evidence.movies,
    )


def _fit(evidence: OrientationEvidence, best: tuple[int, int], sure: float, share: float, sensitivity: float) -> Fit:
    is_inverted = best[1] < 0
    least, most = INVERSE_SHARES if is_inverted else (LEAST_SHARE, math.inf)
    if sure >= (CLEAR_AS_TAKEN if best == (0, 1) else CLEAR) and least <= share <= most:
        return Fit.CLEAR
    if evidence.contrast < FLAT:
        return Fit.FLAT
    return Fit.NONE if sensitivity >= SENSITIVE and (share < LEAST_SHARE or is_inverted) else Fit.FAINT


def _standard_errors(of: Figure, products: Figure, squares: Figure, blocks: int) -> float:
    """Return a weighted sum of the products in units of its standard error, which the blocks' spread gives."""
    value = float(of @ products)
    variance = (float(of @ squares @ of) - value**2 / max(blocks, 1)) * blocks / max(blocks - 1, 1)
    if blocks < 2 or variance <= 0:
        return 0.0
    return value / math.sqrt(variance)


def _likeness(one: tuple[int, int], other: tuple[int, int], gram: Figure, norms: Figure) -> float:
    return float(one[1] * other[1] * gram[one[0], other[0]] / (norms[one[0]] * norms[other[0]]))


def _views(image: Figure, shape: tuple[int, ...]) -> list[Figure | None]:
    """Return an image in each of the `ORIENTATIONS`; None where it has another shape."""
    transposed = np.ascontiguousarray(image.T)
    views = [turned(transposed if is_transposed else image, flips) for is_transposed, flips in _AS_FLIPS]
    return [view if view.shape == shape else None for view in views]


def _gram(views: list[Figure | None]) -> NDArray[np.float64]:
    """Return the sums of products of the views, each with each; they depend on what turns the one into the other."""
    image = views[0]
    assert image is not None
    with_first = [0.0 if view is None else float(np.sum(image * view, dtype=np.float64)) for view in views]
    there = [view is not None for view in views]
    gram: NDArray[np.float64] = np.array(with_first)[_BETWEEN] * np.outer(there, there)
    return gram


def _as_flips(orientation: GainSettings) -> tuple[bool, GainSettings]:
    """Return whether an orientation transposes, and the flips that make it of the image or the transposed image."""
    wanted = turned(_PROBE, orientation)
    return next(
        (is_transposed, flips)
        for is_transposed in (False, True)
        for flips in ORIENTATIONS
        if flips.rotate_degrees in (0, 180)
        and np.array_equal(turned(_PROBE.T if is_transposed else _PROBE, flips), wanted)
    )


def _between(one: GainSettings, other: GainSettings) -> int:
    """Return the number of the orientation that, followed by `one`, makes `other`: products need no more than that."""
    wanted = turned(_PROBE, other)
    return next(k for k, first in enumerate(ORIENTATIONS) if np.array_equal(turned(turned(_PROBE, first), one), wanted))


_PROBE = np.arange(4).reshape(2, 2)
_AS_FLIPS = [_as_flips(orientation) for orientation in ORIENTATIONS]
_BETWEEN = np.array([[_between(one, other) for other in ORIENTATIONS] for one in ORIENTATIONS])


def _blocks(image: Figure, size: int) -> NDArray[np.float64]:
    """Return the sums over square blocks; what is left at the edges is in none."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    cut = image[: rows * size, : columns * size].reshape(rows * size * columns, size)
    sums: NDArray[np.float64] = cut.sum(1).reshape(rows, size, columns).sum(1, dtype=np.float64)
    return sums


def _added(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _numbers(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.reshape(-1).tolist())
