"""Logs as MotionCor2 and MotionCor3 write them, for programs that read those.

`STEM-Full.log` has a line for each frame: its number, and what moves its content back onto the first frame, x and y in
px of the movie as recorded. `STEM-Patch-Patch.log` has, patch after patch, a line for each frame: its number, the
patch's middle (x, y, px), what local motion adds to the frame's shift (x, y), and 0, since no patch is left out.
"""

from __future__ import annotations

import numpy as np

from preprocess.geometry.field import DisplacementField


def full_log(field: DisplacementField, first_frame: int) -> str:
    """Return the text of `-Full.log`."""
    lines = ["# Full frame alignment", ""]
    back = -field.relative_to_first().mean_shifts() + 0.0
    lines += [f"{number:4d}  {x:8.2f}  {y:8.2f}" for number, (y, x) in enumerate(back, start=first_frame)]
    return "\n".join([*lines, ""])


def patch_log(field: DisplacementField, shape: tuple[int, int], patches: tuple[int, int], first_frame: int) -> str:
    """Return the text of `-Patch-Patch.log`; `shape` is (height, width), `patches` the numbers of them in x and y."""
    height, width = shape
    lines = [
        "# Patch based alignment",
        f"# Number of patches: {patches[0] * patches[1]}",
        "# Shifts are listed per patch.",
        f"# Movie size: {width}  {height}  {len(field)}",
    ]
    relative = field.relative_to_first()
    means = relative.mean_shifts()
    for number, (y, x) in enumerate(patch_middles(patches), start=1):
        lines += ["", f"#Patch {number:03d} raw and fit shifts"]
        local = means - relative.at(y, x) + 0.0
        lines += [
            f"{frame:4d} {(x + 0.5) * width:8.2f} {(y + 0.5) * height:8.2f} {dx:8.2f} {dy:8.2f} {0:4d}"
            for frame, (dy, dx) in enumerate(local, start=first_frame)
        ]
    return "\n".join([*lines, ""])


def patch_middles(patches: tuple[int, int]) -> list[tuple[float, float]]:
    """Return where equal patches' middles are, (y, x) from -0.5 to 0.5, row by row; `patches`: how many in x and y."""
    in_x, in_y = ((np.arange(count) + 0.5) / count - 0.5 for count in patches)
    return [(float(y), float(x)) for y in in_y for x in in_x]
