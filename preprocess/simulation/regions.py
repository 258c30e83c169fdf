"""Parts of an image: what lies on one side of an edge, places of lumps, and fields that vary slowly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def smooth_field(shape: tuple[int, int], length_px: float, random: np.random.Generator) -> Image:
    """Return a field with mean about 0 and standard deviation about 1 that varies over `length_px`."""
    counts = [max(4, int(np.ceil(side / length_px)) + 3) for side in shape]
    coarse = random.standard_normal(counts).astype(np.float32)
    places = [np.linspace(1, count - 2, side, dtype=np.float32) for count, side in zip(counts, shape, strict=True)]
    field: Image = coarse
    for axis, place in enumerate(places):
        field = _resampled(field, place, axis)
    return field * np.float32(1.5)


def _resampled(field: Image, places: Image, axis: int) -> Image:
    """Return a field at other places along an axis, by cubic B-splines."""
    start = np.floor(places).astype(np.intp)
    part = (places - start).astype(np.float32)
    rest = 1 - part
    weights = (
        rest**3 / 6,
        (4 - 6 * part**2 + 3 * part**3) / 6,
        (4 - 6 * rest**2 + 3 * rest**3) / 6,
        part**3 / 6,
    )
    moved = np.moveaxis(field, axis, 0)
    last = len(moved) - 1
    total = sum(
        weight[:, None] * moved[np.clip(start + step, 0, last)] for step, weight in enumerate(weights, start=-1)
    )
    return np.moveaxis(np.asarray(total, np.float32), 0, axis)


def beyond_edge(shape: tuple[int, int], area: float, softness_px: float, random: np.random.Generator) -> Image:
    """Return 1 on one side of a curved, rough edge that cuts off this share of the image, 0 on the other."""
    side = min(shape)
    y = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None] * np.float32(shape[0] / side)
    x = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None, :] * np.float32(shape[1] / side)
    angle = random.uniform(0, 2 * np.pi)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    height = across + random.uniform(-0.4, 0.4) * along**2
    height += 0.004 * smooth_field(shape, side / 40, random)
    edge = np.quantile(height[::8, ::8], 1 - area)
    steep = np.clip((height - edge) * (side / softness_px), -30, 30)
    mask: Image = (1 / (1 + np.exp(-steep))).astype(np.float32)
    return mask


def lump(shape: tuple[int, int], centre: NDArray[np.float64], radius_px: float) -> tuple[tuple[slice, slice], Image]:
    """Return a ball's thickness, 1 at its middle, and the part of the image that it covers."""
    low = np.clip(np.floor(centre - radius_px - 1), 0, shape).astype(int)
    high = np.clip(np.ceil(centre + radius_px + 2), 0, shape).astype(int)
    y = (np.arange(low[0], high[0]) - centre[0])[:, None] / radius_px
    x = (np.arange(low[1], high[1]) - centre[1])[None, :] / radius_px
    part = (slice(low[0], high[0]), slice(low[1], high[1]))
    return part, np.sqrt(np.clip(1 - y**2 - x**2, 0, None)).astype(np.float32)
