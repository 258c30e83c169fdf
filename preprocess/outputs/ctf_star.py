"""What `micrographs_ctf.star` says of one micrograph's CTF, in the columns that RELION's own CTF estimation writes.

All rows have all columns: `rlnPhaseShift` is 0 where it was not searched and `rlnCtfIceRingDensity` 0 where it is not
known, which is what RELION takes where the column is missing. `rlnCtfValidationScore`, which RELION itself fills only
for Gctf, is 1 for a reliable estimate and 0 for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preprocess.outputs.report import DIGITS
from preprocess.results import (
    CTF_ASTIGMATISM_ANGLE,
    CTF_DEFOCUS_U,
    CTF_DEFOCUS_V,
    CTF_FIT_QUALITY,
    CTF_PHASE_SHIFT,
    CTF_RELIABLE,
    CTF_RESOLUTION,
    ICE_RING_DENSITY,
)

RELIABLE_STAR, ALL_STAR = "micrographs_ctf.star", "micrographs_ctf_all.star"
WORST_RESOLUTION_ANGSTROM = 25.0
"""RELION's own limit for what it lists."""
RELIABLE = "rlnCtfValidationScore"

CtfColumns = dict[str, float]


def columns_of_figures(figures: Mapping[str, float]) -> CtfColumns | None:
    """Return the columns of a movie that was processed now; None if it has no CTF."""
    if CTF_DEFOCUS_U not in figures:
        return None
    # as listed, so that their difference is the same after they were read from a report
    defocus_u, defocus_v = (float(f"{figures[name]:.{DIGITS}g}") for name in (CTF_DEFOCUS_U, CTF_DEFOCUS_V))
    resolution = figures.get(CTF_RESOLUTION, math.inf)
    return {
        "rlnDefocusU": defocus_u,
        "rlnDefocusV": defocus_v,
        "rlnCtfAstigmatism": abs(defocus_u - defocus_v),
        "rlnDefocusAngle": figures[CTF_ASTIGMATISM_ANGLE],
        "rlnCtfFigureOfMerit": figures.get(CTF_FIT_QUALITY, 0.0),
        "rlnCtfMaxResolution": min(resolution, WORST_RESOLUTION_ANGSTROM) if resolution > 0 else 0.0,
        "rlnPhaseShift": figures.get(CTF_PHASE_SHIFT, 0.0),
        RELIABLE: figures.get(CTF_RELIABLE, 1.0),
        "rlnCtfIceRingDensity": max(0.0, figures.get(ICE_RING_DENSITY, 0.0)),
    }


def columns_of_section(section: Mapping[str, Any] | None) -> CtfColumns | None:
    """Return the columns of a movie that was processed before, from the section `ctf` of its STEM.json."""
    if section is None:
        return None
    named = {
        CTF_DEFOCUS_U: section["defocus_u_angstrom"],
        CTF_DEFOCUS_V: section["defocus_v_angstrom"],
        CTF_ASTIGMATISM_ANGLE: section["astigmatism_angle_degrees"],
        CTF_FIT_QUALITY: section["score"],
        CTF_RESOLUTION: section["fit_resolution_angstrom"],
        CTF_PHASE_SHIFT: section["phase_shift_degrees"],
        CTF_RELIABLE: float(section["reliable"]),
        ICE_RING_DENSITY: section["ice"]["ring_density"],
    }
    return columns_of_figures({name: value for name, value in named.items() if value is not None})
