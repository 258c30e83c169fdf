"""How SerialEM's frames lie relative to their gain reference: the mdoc's RotationAndFlip.

SerialEM and IMOD count it so: 0 to 3 rotations by 90 degrees counter-clockwise, plus 4 for a flip around the Y axis
(left and right change places) before the rotation, or plus 8 for such a flip after it. That is done to the gain
reference to make it lie as the frames do. IMOD's Y axis points up, from an MRC file's first row to its last; so its
counter-clockwise is clockwise with row 0 at the top, as `GainSettings` counts.
"""

from __future__ import annotations

from typing import Literal

from preprocess.settings import GainSettings

_ORIENTATIONS: tuple[tuple[Literal[0, 90, 180, 270], Literal["none", "x", "y"]], ...] = (
    (0, "none"), (90, "none"), (180, "none"), (270, "none"),
    (0, "x"), (90, "y"), (180, "x"), (270, "y"),
    (0, "x"), (90, "x"), (180, "x"), (270, "x"),
    (0, "none"), (270, "none"), (180, "none"), (90, "none"),
)  # fmt: skip
"""By SerialEM's number: clockwise rotation, then flip."""


def orientation_by_mdoc(rotation_and_flip: int | None) -> GainSettings:
    """Return how to turn a gain reference for frames that were turned so; as it lies where that is not known."""
    if rotation_and_flip is None or not 0 <= rotation_and_flip < len(_ORIENTATIONS):
        return GainSettings()
    rotate_degrees, flip = _ORIENTATIONS[rotation_and_flip]
    return GainSettings(rotate_degrees=rotate_degrees, flip=flip)
