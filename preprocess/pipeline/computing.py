"""What is computed from a movie's frames on the device: their motion, then the micrographs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.frame_judgement import unexposed
from preprocess.alignment.movie_motion import MovieMotion, estimate_movie_motion, foreign_frames
from preprocess.alignment.whole_frame import LARGEST_SHIFT_PX, WholeFrameMotion
from preprocess.backends.contract import Backend
from preprocess.computed_movie import ComputedMovie, Micrographs
from preprocess.exposure.exposure_dose import ExposureDose
from preprocess.geometry.accumulated_motion import accumulated_motion
from preprocess.geometry.field import DisplacementField
from preprocess.movie_warning import MovieWarning
from preprocess.pipeline.fixed_structure_warnings import fixed_structure_warnings
from preprocess.pipeline.holding import HeldMovie
from preprocess.pipeline.identical_warnings import identical_warnings
from preprocess.pipeline.left_out_warnings import left_out_warnings
from preprocess.pipeline.preparing import PreparedMovie
from preprocess.pipeline.reach_warnings import reach_warnings
from preprocess.pipeline.stage_timer import StageTimer
from preprocess.pipeline.sums import micrograph_shape, micrographs

UNSURE_PX = 0.5
"""Shifts whose own standard error is larger deserve a warning."""
MOSTLY_EMPTY = 0.5
"""Share of the field."""
ERRATIC_PX = 4.0
"""Frames that lie so far off the middle between their neighbours, most of them, follow noise and no specimen."""


def compute_movie(prepared: PreparedMovie, held: HeldMovie, backend: Backend, timer: StageTimer) -> ComputedMovie:
    """Align and sum a movie whose frames are held; they are released, whatever happens.

    Raises
    ------
    DeviceError
        The device has not enough memory, or fails.
    """
    movie = prepared.movie
    try:
        held.take_over()
        with timer.stage("align"):
            held, motion = _motion(prepared, held, timer)
            field = motion.field.seen_from_first((movie.height, movie.width))
        if held.left_out:
            prepared = prepared.without(held.kept, unexposed(held.left_out, held.used_count))
        with timer.stage("sum"):
            images = _images(prepared, held, backend, field)
    finally:
        held.release()
    warnings = _warnings(held, motion, prepared.dose)
    if all(warning.code != "drift-out-of-reach" for warning in warnings):
        warnings += reach_warnings(motion.whole.shifts, held.kept, held.left_out, (movie.height, movie.width))
    if held.left_out:
        motion = motion.spread(held.kept, held.used_count)
        field = motion.field.seen_from_first((movie.height, movie.width))
    dose = prepared.dose
    after_frame = None if dose is None else dose.after_frame
    return ComputedMovie(
        movie=movie,
        made_from=prepared.made_from,
        used=prepared.used,
        settings=replace(prepared.settings, gain=held.gain),
        acquisition=prepared.acquisition,
        recording=prepared.recording,
        dose=dose,
        pixel_size_angstrom=prepared.pixel_size_angstrom,
        weights=prepared.weights,
        motion=motion.whole,
        field=field,
        local=motion.local,
        accumulated=accumulated_motion(motion.whole.shifts, prepared.pixel_size_angstrom, after_frame),
        left_out=held.left_out,
        defects=held.defects,
        gain_fit=held.gain_fit,
        gain_digest=held.gain_digest,
        mean_counts=held.mean_counts,
        images=images,
        lit_area=held.lit_area,
        device=backend.name,
        warnings=(
            *prepared.warnings,
            *movie.remarks,
            *left_out_warnings(held.left_out, prepared.used, held.used_count),
            *identical_warnings(held.identical, prepared.used),
            *warnings,
        ),
    )


def _motion(prepared: PreparedMovie, held: HeldMovie, timer: StageTimer) -> tuple[HeldMovie, MovieMotion]:
    """Estimate motion until all frames that are left match the others; return the movie without those that do not."""
    movie = prepared.movie
    while True:
        motion = estimate_movie_motion(
            held.grouped,
            (movie.height, movie.width),
            len(held.groups),
            prepared.settings.patches,
            held.mean_counts * held.groups.frame_count,
            lambda fraction: timer.report("align", fraction),
            held.group_levels,
        )
        foreign = motion.foreign
        if foreign:
            foreign = tuple(np.flatnonzero(np.isin(held.groups.of_frames(), foreign)).tolist())
        elif held.grouped is not held.stack:
            motion = motion.for_frames(held.groups.to_frames)
            foreign = foreign_frames(held.stack, motion.whole.shifts, (movie.height, movie.width), held.levels)
        if not foreign:
            return held, motion
        held = held.without(foreign)


def _images(prepared: PreparedMovie, held: HeldMovie, backend: Backend, field: DisplacementField) -> Micrographs:
    settings, size = prepared.settings, (prepared.movie.height, prepared.movie.width)
    magnification = settings.magnification
    return micrographs(
        held.stack,
        backend,
        field
        if magnification.stretch == 1
        else field.stretched(magnification.stretch, magnification.angle_degrees, size),
        prepared.weights,
        settings,
        micrograph_shape(*size, settings.bin_factor),
        prepared.pixel_size_angstrom * settings.bin_factor,
        prepared.ctf_input,
        prepared.spectrum_groups,
    )


def _warnings(held: HeldMovie, motion: MovieMotion, dose: ExposureDose | None) -> list[MovieWarning]:
    frame_count = held.groups.frame_count
    found = [MovieWarning("decoded-on-cpu", remark) for remark in held.remarks]
    found += [MovieWarning("unlikely-defects", doubt) for doubt in held.defects.doubts]
    found += [MovieWarning("gain-doubtful", doubt) for doubt in held.gain_doubts]
    if held.mean_counts < 0:
        text = (
            f"the mean of the frames is negative ({held.mean_counts:.3g}), which counts cannot be: check how the movie"
            " was converted"
        )
        found.append(MovieWarning("negative-mean", text))
    if held.lit_area is not None and held.lit_area.empty > MOSTLY_EMPTY:
        text = (
            f"few electrons reach {held.lit_area.empty:.0%} of the field: look at the thumbnail for a grid bar or the"
            " edge of the beam, and leave the micrograph out if that is all it shows"
        )
        found.append(MovieWarning("mostly-empty", text))
    if (fit := held.gain_fit) is not None and fit.warning is not None and fit.warning_code is not None:
        found.append(MovieWarning(fit.warning_code, fit.warning))
    if frame_count == 1:
        whose = "the movie has one frame" if held.used_count == 1 else "one frame is left"
        text = f"{whose}, so there is nothing to align: the micrograph is that frame"
        found.append(MovieWarning("one-frame", text))
    elif frame_count == 2:
        whose = "the movie has two frames" if held.used_count == 2 else "two frames are left"
        text = f"{whose}: they are aligned to each other, but nothing can confirm the result"
        found.append(MovieWarning("two-frames", text))
    if frame_count > 1:
        found += _doubts(motion.whole)
        found += fixed_structure_warnings(motion.fixed)
    if dose is None:
        text = "the dose is unknown: all motion counts as late motion, none as early motion (up to 4 e/Å²)"
        found.append(MovieWarning("dose-unknown", text))
    return found


def _doubts(motion: WholeFrameMotion) -> list[MovieWarning]:
    if not motion.has_signal:
        text = "the frames have no common signal above the noise: the measured shifts are not reliable"
        return [MovieWarning("no-signal", text)]
    doubts = []
    typical = float(np.median(motion.standard_errors))
    if typical > UNSURE_PX:
        text = f"faint movie: each shift is uncertain by about {typical:.2g} px because of noise"
        doubts.append(MovieWarning("faint", text))
    if motion.repeats_px is not None:
        text = (
            f"the image repeats itself after about {motion.repeats_px:.0f} px, as that of a crystal does: a frame fits"
            " as well when it is displaced by that much. Look at the motion plot for jumps of that length"
        )
        doubts.append(MovieWarning("repeating-image", text))
    elif (bend := _median_bend_px(motion.shifts)) > ERRATIC_PX:
        text = (
            f"the frames jump to and fro by about {bend:.0f} px, as no specimen does: what they share hardly stands"
            " out from noise, and the shifts found are not reliable. Group frames with --group, or leave the movie out"
        )
        doubts.append(MovieWarning("motion-erratic", text))
    farthest = float(np.abs(motion.shifts - motion.shifts.mean(0)).max())
    if not motion.converged and farthest > LARGEST_SHIFT_PX / 2:
        text = (
            f"the frames do not fit together, and lie up to {farthest:.0f} px from the movie's mean position: the drift"
            f" may be longer than the search reaches ({LARGEST_SHIFT_PX} px from that position). Leave out frames with"
            " --first-frame, --last-frame or --throw"
        )
        doubts.append(MovieWarning("drift-out-of-reach", text))
    elif not motion.converged:
        text = f"the alignment did not converge in {motion.steps} steps: look at the motion plot before you use it"
        doubts.append(MovieWarning("not-converged", text))
    return doubts


def _median_bend_px(shifts: NDArray[np.float64]) -> float:
    """Return by how many px frames lie off the middle between their neighbours, the median; 0 for two frames."""
    bends = shifts[1:-1] - (shifts[:-2] + shifts[2:]) / 2
    return float(np.median(np.hypot(*bends.T))) if len(bends) else 0.0
