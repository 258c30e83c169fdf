"""The figures of a movie: each number is computed here once; every output, the result and the record read it by name.

`transfer/wire/figures.py` defines the names; a test compares both.
"""

from __future__ import annotations

import numpy as np

from preprocess.computed_movie import ComputedMovie
from preprocess.ctf.estimate import CtfEstimate
from preprocess.geometry.accumulated_motion import motion_in_frame
from preprocess.outputs.pictures import thumbnail_boxes
from preprocess.outputs.relion_motion import RelionMotion
from preprocess.quality.contrast import image_contrast
from preprocess.results import (
    CTF_ASTIGMATISM_ANGLE,
    CTF_DEFOCUS_ERROR,
    CTF_DEFOCUS_U,
    CTF_DEFOCUS_V,
    CTF_FIT_QUALITY,
    CTF_PHASE_SHIFT,
    CTF_RELIABLE,
    CTF_RESOLUTION,
    CTF_THICKNESS,
    CTF_TILT,
    CTF_TILT_AXIS,
    ICE_RING_DENSITY,
    ICE_THICKNESS,
    ICINESS,
    MOTION_EARLY,
    MOTION_LATE,
    MOTION_TOTAL,
)

MOTION_STANDARD_ERROR = "motion_standard_error_px"
LOCAL_MOTION = "motion_local_rms_px"
MOTION_MODEL_RESIDUAL = "motion_model_residual_rms_px"
MEAN_COUNTS = "mean_counts_per_px_per_frame"
HOT_PIXELS, DEAD_PIXELS, DEFECT_PIXELS = "hot_pixel_count", "dead_pixel_count", "defect_pixel_count"
GAIN_RESIDUAL = "gain_residual_correlation"
MOTION_IN_FRAME = "motion_in_frame_angstrom"
ELECTRONS, DOSE_RATE = "electrons_per_px_per_frame", "dose_rate_e_per_px_per_s"
CONTRAST = "micrograph_contrast"
EMPTY_AREA, SATURATED_AREA, MASKED_AREA = "empty_area_fraction", "saturated_area_fraction", "masked_area_fraction"
QUALITY_FIGURES = (MOTION_IN_FRAME, ELECTRONS, DOSE_RATE, CONTRAST, EMPTY_AREA, SATURATED_AREA, MASKED_AREA)
"""Those that stand in STEM.json's section `quality` by their own names."""


def figures_of(computed: ComputedMovie, relion: RelionMotion) -> dict[str, float]:
    """Return a movie's figures by name; one that this movie does not have is left out."""
    figures = {
        MOTION_TOTAL: computed.accumulated.total_angstrom,
        MOTION_EARLY: computed.accumulated.early_angstrom,
        MOTION_LATE: computed.accumulated.late_angstrom,
        MOTION_STANDARD_ERROR: float(np.median(computed.motion.standard_errors)),
        LOCAL_MOTION: float(computed.local.local_rms_px),
        MOTION_MODEL_RESIDUAL: float(relion.residual_rms_px),
        MEAN_COUNTS: float(computed.mean_counts),
        HOT_PIXELS: float(len(computed.defects.hot)),
        DEAD_PIXELS: float(len(computed.defects.dead)),
        DEFECT_PIXELS: float(len(computed.defects.pixels)),
    }
    if computed.gain_fit is not None:
        figures[GAIN_RESIDUAL] = float(computed.gain_fit.residual_gain_correlation)
    known = {name: value for name, value in _of_exposure(computed).items() if value is not None}
    return figures | known | ({} if computed.ctf is None else ctf_figures(computed.ctf))


def _of_exposure(computed: ComputedMovie) -> dict[str, float | None]:
    """Return the figures of dose, contrast and area; None: this movie does not have it."""
    movie, dose, lit, images = computed.movie, computed.dose, computed.lit_area, computed.images
    electrons = None if dose is None else dose.per_frame_e_per_a2 * computed.pixel_size_angstrom**2
    seconds = computed.recording.exposure_time_s
    boxes = thumbnail_boxes(images.height, images.width)
    return {
        MOTION_IN_FRAME: motion_in_frame(computed.motion.shifts, computed.pixel_size_angstrom),
        ELECTRONS: electrons,
        DOSE_RATE: None if electrons is None or not seconds else electrons * movie.frame_count / seconds,
        CONTRAST: image_contrast(
            images.boxes,
            (boxes[0] * computed.micrograph_pixel_size_angstrom, boxes[1] * computed.micrograph_pixel_size_angstrom),
        ),
        EMPTY_AREA: None if lit is None else lit.empty,
        SATURATED_AREA: None if lit is None else lit.saturated,
        MASKED_AREA: len(computed.defects.pixels) / (movie.height * movie.width),
    }


def ctf_figures(ctf: CtfEstimate) -> dict[str, float]:
    """Return the figures of a contrast transfer function and of the ice that its spectrum shows."""
    found: dict[str, float | None] = {
        CTF_DEFOCUS_U: ctf.defocus_u_angstrom,
        CTF_DEFOCUS_V: ctf.defocus_v_angstrom,
        CTF_ASTIGMATISM_ANGLE: ctf.angle_degrees,
        CTF_PHASE_SHIFT: ctf.phase_shift_degrees if ctf.phase_shift_searched else None,
        CTF_RESOLUTION: ctf.fit_resolution_angstrom,
        CTF_FIT_QUALITY: ctf.score,
        CTF_DEFOCUS_ERROR: ctf.sigma_angstrom,
        CTF_RELIABLE: float(ctf.reliable),
        CTF_TILT: ctf.tilt_degrees,
        CTF_TILT_AXIS: ctf.tilt_axis_degrees,
        CTF_THICKNESS: ctf.thickness_angstrom,
        ICE_RING_DENSITY: ctf.ice.ring_density,
        ICE_THICKNESS: ctf.ice.relative_thickness,
        ICINESS: ctf.ice.iciness,
    }
    return {name: float(value) for name, value in found.items() if value is not None}
