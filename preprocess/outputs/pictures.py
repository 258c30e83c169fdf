"""Pictures of a micrograph for people: a thumbnail and its power spectrum, as PNG.

Drawn with Pillow; the same image gives the same bytes (no times, no versions in the file).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from preprocess.image_filters import gaussian_filter, gaussian_filter1d
from preprocess.outputs.lettering import write
from preprocess.outputs.whole_spectrum import whole_spectrum_of

SIDE_PX = 512
BOXES_A_PIXEL = 3
"""Boxes along each axis for each pixel of a thumbnail, at the least."""
FINEST_SHOWN_ANGSTROM = 3.0
RING_RESOLUTIONS_ANGSTROM = (30, 20, 15, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2)
RING_DISTANCE_PX = 26
AMBER = (255, 196, 84)


def thumbnail_boxes(height: int, width: int) -> tuple[int, int]:
    """Return how many px (y, x) of a micrograph are averaged before its thumbnail is drawn."""
    size_x, size_y = _thumbnail_size(height, width)
    return int(height / size_y / BOXES_A_PIXEL) or 1, int(width / size_x / BOXES_A_PIXEL) or 1


def thumbnail_png(boxes: NDArray[np.float32], height: int, width: int) -> bytes:
    """Return a micrograph, longer side 512 px, contrast stretched so that particles are seen.

    Parameters
    ----------
    boxes : NDArray[np.float32]
        The micrograph (height, width) averaged over `thumbnail_boxes`; row 0 comes on top.
    """
    factor_y, factor_x = thumbnail_boxes(height, width)
    whole = (0, 0, width / factor_x, height / factor_y)
    picture = Image.fromarray(boxes).resize(_thumbnail_size(height, width), Image.Resampling.LANCZOS, whole)
    smooth = gaussian_filter(np.asarray(picture), 0.7)
    return png(Image.fromarray(_stretched(smooth, 0.3, 99.7)))


def _thumbnail_size(height: int, width: int) -> tuple[int, int]:
    """Return a thumbnail's width and height."""
    scale = SIDE_PX / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def spectrum_png(half: NDArray[np.float32], frequency_step: float) -> bytes:
    """Return a power spectrum as a picture, 512 px wide, to 3 Å or where it ends, with rings labelled in Å.

    Parameters
    ----------
    half : NDArray[np.float32]
        Half of it, shape (2 r + 1, r + 1), zero frequency at [r, 0].
    frequency_step : float
        Between neighbouring rows and columns, 1/Å.
    """
    power = whole_spectrum_of(half)
    middle = len(power) // 2
    reach = min(middle, max(16, round(1 / FINEST_SHOWN_ANGSTROM / frequency_step)))
    inside = slice(middle - reach, middle + reach)
    shown = _without_background(power)[inside, inside]
    resized = Image.fromarray(shown).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    picture = Image.fromarray(_stretched(np.asarray(resized), 1.0, 99.6)).convert("RGB")
    return png(_with_rings(picture, SIDE_PX / 2 / (reach * frequency_step)))


def _without_background(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log power less its smooth radial course, in units of its spread: Thon rings, and nothing else."""
    side = len(power)
    y, x = np.indices(power.shape) - side // 2
    ring = np.minimum(np.hypot(y, x), side // 2).astype(np.intp)
    log = np.log(np.maximum(power, max(float(power.max()) * 1e-12, 1e-30))).astype(np.float64)
    counts = np.maximum(np.bincount(ring.ravel()), 1)
    mean = np.bincount(ring.ravel(), log.ravel()) / counts
    course = gaussian_filter1d(mean, side / 20, mode="nearest")
    flat = log - course[ring]
    flat[ring < side / 64] = flat[ring >= side / 64].mean()  # ice and illumination outshine everything there
    return gaussian_filter(flat, side / 700).astype(np.float32)


def _with_rings(picture: Image.Image, pixels_per_inverse_angstrom: float) -> Image.Image:
    """Return the picture with thin rings, drawn at four times the size so that they are smooth."""
    overlay = Image.new("L", (SIDE_PX * 4, SIDE_PX * 4), 0)
    draw = ImageDraw.Draw(overlay)
    centre, last = SIDE_PX * 2, 30.0
    labels: list[tuple[float, str]] = []
    for resolution in RING_RESOLUTIONS_ANGSTROM:
        radius = pixels_per_inverse_angstrom / resolution
        if last + RING_DISTANCE_PX <= radius < SIDE_PX / 2 - 6:
            r = radius * 4
            draw.ellipse((centre - r, centre - r, centre + r, centre + r), outline=150, width=4)
            labels.append((radius, f"{resolution:g} Å"))
            last = radius
    smooth = overlay.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    picture.paste(Image.new("RGB", picture.size, AMBER), mask=smooth)
    large = picture.resize((SIDE_PX * 4, SIDE_PX * 4), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large)
    for radius, text in labels:
        place = radius * 4 * np.sqrt(0.5)
        write(draw, (centre + place, centre - place), text, 52, AMBER, "mm", halo=(20, 20, 20))
    return large.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)


def _stretched(image: NDArray[Any], low_percent: float, high_percent: float) -> NDArray[np.uint8]:
    low, high = np.percentile(image, [low_percent, high_percent])
    scaled = (image - low) / max(float(high - low), 1e-12)
    stretched: NDArray[np.uint8] = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return stretched


def png(picture: Image.Image) -> bytes:
    """Return a picture as PNG, without any metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()
