"""What a sidecar says, in our units."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from preprocess.sidecars.recording import Recording


class SidecarUnreadableError(ValueError):
    """The sidecar is cut off or corrupt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What a sidecar says about an exposure. None: it says nothing.

    `pixel_size_angstrom` is of an image of `image_height_px` by `image_width_px`; where these are known and the movie
    has twice or half as many pixels, its pixel size is another one. `frame_count` counts the fractions.
    `frame_doses_e_per_a2` has each one's dose where these are unequal. `camera` is its name, `gain_reference` and
    `defect_file` the names of files, and `rotation_and_flip` says how frames lie relative to these
    (`preprocess.gains.orientation_by_mdoc`). `is_of_frames` tells whether the sidecar describes the saved frames
    themselves, not an image. `prior_exposures` is how many times the exposure's own dose the specimen received before
    in its tilt series. `remarks` say what was not believed, without the file's name.
    """

    path: Path
    source: Literal["epu-xml", "mdoc"]
    pixel_size_angstrom: float | None = None
    image_height_px: int | None = None
    image_width_px: int | None = None
    voltage_kv: float | None = None
    magnification: float | None = None
    dose_per_frame_e_per_a2: float | None = None
    total_dose_e_per_a2: float | None = None
    frame_doses_e_per_a2: tuple[float, ...] | None = None
    pre_exposure_e_per_a2: float | None = None
    defocus_angstrom: float | None = None
    frame_count: int | None = None
    camera: str | None = None
    gain_reference: str | None = None
    defect_file: str | None = None
    rotation_and_flip: int | None = None
    is_of_frames: bool = False
    prior_exposures: float | None = None
    recording: Recording = field(default_factory=Recording)
    remarks: tuple[str, ...] = ()


def positive(text: str | None, scale: float = 1.0) -> float | None:
    """Return a text's number times `scale`; None where it is no finite number above zero: not filled in."""
    value = number(text)
    return value * scale if value is not None and value > 0 else None


def pair(text: str | None) -> tuple[float | None, float | None]:
    """Return a text's two numbers; None for both where it has not two."""
    numbers = [number(part) for part in (text or "").split()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 and None not in numbers else (None, None)


def number(text: str | None) -> float | None:
    """Return a text's finite number, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
