"""Sums aligned frames into micrographs: dose-weighted, plain, even and odd, all in one pass over the frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.field import DisplacementField
from preprocess.backends.contract import Backend, FrameStack, Image
from preprocess.dose import DoseWeights, plain_weights
from preprocess.settings import AlignmentSettings
from preprocess.undamping import undamping


def micrograph_shape(height: int, width: int, bin_factor: int) -> tuple[int, int]:
    """Return the micrograph's height and width; binned ones are even."""
    if bin_factor == 1:
        return height, width
    return 2 * (height // (2 * bin_factor)), 2 * (width // (2 * bin_factor))


def micrographs(
    stack: FrameStack,
    backend: Backend,
    field: DisplacementField,
    weights: DoseWeights,
    settings: AlignmentSettings,
    shape: tuple[int, int],
) -> dict[str, Image]:
    """Return the images by their role; the stack's frames are released.

    `micrograph` is dose-weighted by `weights`; `micrograph_unweighted`, `micrograph_even` and `micrograph_odd` (frames
    2, 4, 6… and 1, 3, 5…, counted from 1) are plain sums, made if the settings ask for them.
    """
    rank = len(weights.frame_weights)
    extra = _plain_sums(len(field), settings)
    warped = stack.warped_sums(field, np.concatenate([weights.frame_weights, *extra.values()]))
    stack.release()
    images = {"micrograph": backend.filtered_sum(warped[:rank], weights.filters, shape, undamping(field, weights))}
    of_plain = undamping(field, plain_weights(len(field)))
    plain = {name: [warped[rank + index]] for index, name in enumerate(extra)}
    if settings.even_odd and settings.unweighted:
        plain["micrograph_unweighted"] = plain["micrograph_even"] + plain["micrograph_odd"]
    for name, parts in plain.items():
        filters = np.repeat(plain_weights(1).filters, len(parts), 0)
        images[name] = backend.filtered_sum(parts, filters, shape, of_plain)
    return images


def _plain_sums(frame_count: int, settings: AlignmentSettings) -> dict[str, NDArray[np.float32]]:
    """Return the frame weights, shape (1, frames), of the plain sums to be accumulated."""
    number = np.arange(1, frame_count + 1)
    if settings.even_odd:
        even = (number % 2 == 0).astype(np.float32)
        return {"micrograph_even": even[None], "micrograph_odd": 1 - even[None]}
    if settings.unweighted:
        return {"micrograph_unweighted": plain_weights(frame_count).frame_weights}
    return {}
