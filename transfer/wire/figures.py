"""The registry of figures: every number about an exposure that travels in its record.

`preprocess` produces figures, `agents` passes them on, the receiver keeps them. The page, reports and registrars take
names, units and definitions from here. A receiver keeps figures that it does not know, since a newer agent may send
them; an agent sends only what is registered (`fit_to_send`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from transfer.wire.errors import UnknownFigure


class Worse(StrEnum):
    """The direction in which a figure gets worse."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class RegisteredFigure:
    """One kind of number about an exposure.

    Attributes
    ----------
    name : str
        Key in the record; ends in its unit, if it has one.
    unit : str
        As people read it; empty for a plain number.
    label : str
        Short name for a table's head or an axis.
    decimals : int
        Digits behind the point that people are shown.
    worse : Worse
        The direction that is worse.
    definition : str
        What the number is, exactly, and where that is defined.
    """

    name: str
    unit: str
    label: str
    decimals: int
    worse: Worse
    definition: str


MOTION_TOTAL, MOTION_EARLY, MOTION_LATE = "motion_total_angstrom", "motion_early_angstrom", "motion_late_angstrom"
CTF_DEFOCUS_U, CTF_DEFOCUS_V = "ctf_defocus_u_angstrom", "ctf_defocus_v_angstrom"
CTF_ASTIGMATISM_ANGLE, CTF_PHASE_SHIFT = "ctf_astigmatism_angle_degrees", "ctf_phase_shift_degrees"
CTF_RESOLUTION, CTF_FIT_QUALITY = "ctf_resolution_angstrom", "ctf_fit_quality"
CTF_DEFOCUS_ERROR, CTF_RELIABLE = "ctf_defocus_error_angstrom", "ctf_reliable"
CTF_TILT, CTF_TILT_AXIS, CTF_THICKNESS = "ctf_tilt_degrees", "ctf_tilt_axis_degrees", "ctf_thickness_angstrom"
ICE_RING_DENSITY, ICE_THICKNESS, ICINESS = "ice_ring_density", "ice_relative_thickness", "iciness"

_CTF = "CTFFIND4's convention: Rohou and Grigorieff 2015, J. Struct. Biol. 192, 216"

_REGISTERED = (
    RegisteredFigure(
        MOTION_TOTAL,
        "Å",
        "motion",
        1,
        Worse.HIGHER,
        "Sum of the distances between the whole-frame positions of consecutive frames: RELION's rlnAccumMotionTotal "
        "(Zivanov et al. 2019, IUCrJ 6, 5).",
    ),
    RegisteredFigure(
        MOTION_EARLY,
        "Å",
        "early motion",
        1,
        Worse.HIGHER,
        "The part of the motion that leads to frames which end at a dose of 4 e/Å² or less: RELION's "
        "rlnAccumMotionEarly. 0 where the dose is unknown.",
    ),
    RegisteredFigure(
        MOTION_LATE,
        "Å",
        "late motion",
        1,
        Worse.HIGHER,
        "The rest of the motion: RELION's rlnAccumMotionLate. All of it where the dose is unknown.",
    ),
    RegisteredFigure(
        "motion_standard_error_px",
        "px",
        "shift error",
        3,
        Worse.HIGHER,
        "Median over frames and axes of the standard error of a whole-frame shift, in px of the movie as recorded: the "
        "inverse square root of the log-likelihood's curvature at its maximum (Cramér-Rao bound; "
        "preprocess/alignment/whole_frame.py).",
    ),
    RegisteredFigure(
        "motion_local_rms_px",
        "px",
        "local motion",
        3,
        Worse.HIGHER,
        "Root mean square, for each axis, over patches and frames, of the motion that differs from the whole frame's, "
        "in px of the movie as recorded (preprocess/alignment/local_motion.py). 0 where the local model is not used.",
    ),
    RegisteredFigure(
        "motion_model_residual_rms_px",
        "px",
        "RELION residual",
        3,
        Worse.HIGHER,
        "Root mean square, for each axis, over frame and frames, of the motion that RELION's polynomial model of the "
        "motion STAR file cannot express (Zivanov et al. 2019, IUCrJ 6, 5; preprocess/outputs/relion_motion.py).",
    ),
    RegisteredFigure(
        "mean_counts_per_px_per_frame",
        "counts",
        "counts",
        3,
        Worse.NEITHER,
        "Mean of the gain-corrected frames over aligned frames and all pixels but defects.",
    ),
    RegisteredFigure(
        "hot_pixel_count",
        "",
        "hot pixels",
        0,
        Worse.HIGHER,
        "Pixels that the movie shows as hot: more than six standard deviations above the mean of the gain-corrected "
        "sum of frames, which is RELION's rule (preprocess/correction/defects.py).",
    ),
    RegisteredFigure(
        "dead_pixel_count",
        "",
        "dead pixels",
        0,
        Worse.HIGHER,
        "Pixels that the movie shows as dead: they counted nothing although their neighbours did "
        "(preprocess/correction/defects.py).",
    ),
    RegisteredFigure(
        "defect_pixel_count",
        "",
        "defects",
        0,
        Worse.HIGHER,
        "All pixels that were replaced, each counted once: hot, dead, of zero gain, and those of the defect file.",
    ),
    RegisteredFigure(
        "gain_residual_correlation",
        "",
        "gain residual",
        3,
        Worse.HIGHER,
        "Correlation coefficient of the gain-corrected sum of frames with the gain reference, after local means are "
        "subtracted from both: near 0 when the reference fits (preprocess/correction/gain_fit.py).",
    ),
    RegisteredFigure(
        "motion_in_frame_angstrom",
        "Å",
        "motion in a frame",
        2,
        Worse.HIGHER,
        "How far the specimen moves while a frame is recorded, the root mean square over frames: half the way from the "
        "frame before it to the one after it, at the ends the way to its neighbour.",
    ),
    RegisteredFigure(
        "electrons_per_px_per_frame",
        "e",
        "electrons",
        3,
        Worse.NEITHER,
        "Dose of a frame times the area of a pixel at the specimen: by what options, metadata and header say, not "
        "measured. Only where the dose is known.",
    ),
    RegisteredFigure(
        "dose_rate_e_per_px_per_s",
        "e/s",
        "dose rate",
        2,
        Worse.NEITHER,
        "The same of all frames together over the exposure time. Only where dose and exposure time are known.",
    ),
    RegisteredFigure(
        "micrograph_contrast",
        "",
        "contrast",
        4,
        Worse.NEITHER,
        "Standard deviation of the means of squares of about 40 Å of the micrograph, over the micrograph's mean "
        "(preprocess/quality/contrast.py).",
    ),
    RegisteredFigure(
        "empty_area_fraction",
        "",
        "empty area",
        3,
        Worse.HIGHER,
        "Share of the field (8 by 8 boxes) that few electrons reach: under 10 % of the counts of its bright places, as "
        "behind a grid bar or outside of the beam (preprocess/quality/lit_area.py).",
    ),
    RegisteredFigure(
        "saturated_area_fraction",
        "",
        "saturated area",
        3,
        Worse.HIGHER,
        "Share of the field (8 by 8 boxes) that is lit and whose raw counts hardly scatter: variance over mean is "
        "under 10 % of what is usual in this movie (preprocess/quality/lit_area.py).",
    ),
    RegisteredFigure(
        "masked_area_fraction",
        "",
        "masked area",
        5,
        Worse.HIGHER,
        "Share of the pixels that are defects, whose values are replaced.",
    ),
    RegisteredFigure(
        CTF_DEFOCUS_U,
        "Å",
        "defocus U",
        0,
        Worse.NEITHER,
        f"Defocus along the major axis of astigmatism; underfocus is positive ({_CTF}).",
    ),
    RegisteredFigure(
        CTF_DEFOCUS_V,
        "Å",
        "defocus V",
        0,
        Worse.NEITHER,
        f"Defocus along the minor axis of astigmatism; underfocus is positive ({_CTF}).",
    ),
    RegisteredFigure(
        CTF_ASTIGMATISM_ANGLE,
        "°",
        "astigmatism angle",
        1,
        Worse.NEITHER,
        "Angle from the image's x axis towards its y axis, row 0 first, to the axis of defocus U, above -90 up to 90 "
        f"({_CTF}).",
    ),
    RegisteredFigure(
        CTF_PHASE_SHIFT,
        "°",
        "phase shift",
        1,
        Worse.NEITHER,
        f"Additional phase shift, such as a phase plate's, from 0 to 180; only where it is searched ({_CTF}).",
    ),
    RegisteredFigure(
        CTF_RESOLUTION,
        "Å",
        "CTF resolution",
        1,
        Worse.HIGHER,
        "Resolution up to which the fitted CTF agrees with the spectrum: the first at which their local correlation, "
        f"over lines of equal phase, falls below 0.5 ({_CTF}).",
    ),
    RegisteredFigure(
        CTF_FIT_QUALITY,
        "",
        "CTF fit",
        3,
        Worse.LOWER,
        "Correlation of the spectrum, averaged over lines of equal phase, with the square of the fitted CTF between "
        f"30 and 5 Å ({_CTF}).",
    ),
    RegisteredFigure(
        CTF_DEFOCUS_ERROR,
        "Å",
        "defocus error",
        0,
        Worse.HIGHER,
        "Standard error of the mean of defocus U and V, from the curvature of the log-likelihood of the power spectrum "
        "(Whittle likelihood; preprocess/ctf).",
    ),
    RegisteredFigure(
        CTF_RELIABLE,
        "",
        "CTF reliable",
        0,
        Worse.LOWER,
        "1 where the rings of the spectrum are significant and no other defocus fits as well, else 0 (preprocess/ctf).",
    ),
    RegisteredFigure(
        CTF_TILT,
        "°",
        "tilt",
        1,
        Worse.NEITHER,
        "Tilt of the specimen, from a plane through the defoci of parts of the image; only where it is significant.",
    ),
    RegisteredFigure(
        CTF_TILT_AXIS,
        "°",
        "tilt axis",
        1,
        Worse.NEITHER,
        "Angle from the image's x axis towards its y axis, row 0 first, to the axis of that tilt.",
    ),
    RegisteredFigure(
        CTF_THICKNESS,
        "Å",
        "thickness",
        0,
        Worse.HIGHER,
        "Thickness t of the specimen, from the nodes of the rings at k² = 1 / (λ t); only where they show (Elferich et "
        "al. 2024, eLife 13, RP97227).",
    ),
    RegisteredFigure(
        ICE_RING_DENSITY,
        "",
        "ice ring",
        3,
        Worse.HIGHER,
        "Sum of the absolute values of the spectrum's radial profile from 0.25 to 0.28 1/Å: RELION 5's "
        "rlnCtfIceRingDensity.",
    ),
    RegisteredFigure(
        ICE_THICKNESS,
        "",
        "ice thickness",
        3,
        Worse.HIGHER,
        "Power at 3.58 to 3.80 Å over the mean of that at 4.05 to 4.3 Å and at 3.2 to 3.36 Å. To be compared within "
        "one session only.",
    ),
    RegisteredFigure(
        ICINESS,
        "",
        "iciness",
        3,
        Worse.HIGHER,
        "(Mean amplitude of the spectrum from 3.5 to 3.9 Å over that from 30 to 6 Å)² (Focus: Biyani et al. 2017, J. "
        "Struct. Biol. 198, 124).",
    ),
)

FIGURES: dict[str, RegisteredFigure] = {figure.name: figure for figure in _REGISTERED}


def fit_to_send(figures: Mapping[str, float]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the figures that may travel, and for each other one a sentence that says why it may not.

    One bad number must not hold up the exposure that it belongs to, so it is left out, and the record says so.
    """
    good, left_out = {}, []
    for name, value in figures.items():
        if name not in FIGURES:
            left_out.append(f"the figure {name} is left out: this version of cryoferry does not define it")
        elif not math.isfinite(value):
            left_out.append(f"the figure {name} is left out: its value is {value}")
        else:
            good[name] = value
    return good, tuple(left_out)


def require_figure(name: str) -> None:
    """Refuse the name of a figure that is not registered.

    Raises
    ------
    UnknownFigure
    """
    if name in FIGURES:
        return
    nearest = next(iter(difflib.get_close_matches(name, FIGURES, n=1, cutoff=0.5)), None)
    raise UnknownFigure(
        f"no figure {name!r} is known",
        hint=f"Did you mean {nearest!r}?" if nearest else None,
        nearest=nearest,
    )
