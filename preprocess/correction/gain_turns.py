"""The eight orientations of a gain reference, how they follow one another, and the options that name them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.settings import GainSettings

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


def turned(image: NDArray[Any], settings: GainSettings) -> NDArray[Any]:
    """Return an image turned as the settings say: clockwise with row 0 at the top, then flipped."""
    rotated = np.rot90(image, -(settings.rotate_degrees // 90))
    if settings.flip == "y":
        return rotated[::-1]
    return rotated[:, ::-1] if settings.flip == "x" else rotated


def turned_further(settings: GainSettings, turn: GainSettings) -> GainSettings:
    """Return the settings that do what `settings` do and then turn further."""
    probe = np.arange(4).reshape(2, 2)
    wanted = turned(turned(probe, settings), turn)
    best = next(way for way in ORIENTATIONS if np.array_equal(turned(probe, way), wanted))
    return replace(settings, rotate_degrees=best.rotate_degrees, flip=best.flip)


def options_of(settings: GainSettings) -> str:
    """Return the options of the command line that name an orientation."""
    operation = "" if settings.operation == "auto" else f" --gain-operation {settings.operation}"
    return f"--gain-rotate {settings.rotate_degrees} --gain-flip {settings.flip}{operation}"
