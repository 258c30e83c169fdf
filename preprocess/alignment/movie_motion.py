"""All that is found out about a movie's motion: first the whole frame's, then what differs from place to place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.fixed_structure import FixedStructure, FixedStructureSearch
from preprocess.alignment.frame_judgement import judge_by_correlation
from preprocess.alignment.local_motion import LocalDecision, estimate_local_motion
from preprocess.alignment.whole_frame import (
    WholeFrameMotion,
    correlation_peaks,
    estimate_motion,
    estimation_bin,
    no_motion,
)
from preprocess.backends.contract import FrameStack
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import lay_patches, patch_counts

COARSE_SIDE_PX = 1536
JUDGED_SIDE_PX = 768
SMALL_SIDE_PX = 1536
KEPT, KEPT_WHEN_BINNED = 0.6, 0.75
"""Part of the frequencies that patches of larger frames keep: beyond, there is little to align by."""
LEAST_FRAMES = 3


@dataclass(frozen=True, slots=True)
class MovieMotion:
    """A movie's motion.

    Attributes
    ----------
    whole : WholeFrameMotion
        Each frame's mean displacement.
    field : DisplacementField
        The displacement field to undo, relative to the movie's mean position.
    local : LocalDecision
        Whether it differs from place to place, and why.
    foreign : tuple[int, ...]
        Frames, or groups of them, that do not match the others. If there are any, the motion is to be estimated again
        without them: local motion has not been looked for.
    fixed : FixedStructure | None
        Structure that is fixed to the camera and was told from what moves; None: none that matters.
    """

    whole: WholeFrameMotion
    field: DisplacementField
    local: LocalDecision
    foreign: tuple[int, ...] = ()
    fixed: FixedStructure | None = None

    def for_frames(self, to_frames: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> MovieMotion:
        """Return the motion of single frames from that of groups; `to_frames` does so for values (groups, …)."""
        shifts = to_frames(self.whole.shifts)
        mean = shifts.mean(0)
        errors = to_frames(self.whole.standard_errors)
        whole = replace(self.whole, shifts=shifts - mean, standard_errors=errors)
        y, x = to_frames(self.field.y), to_frames(self.field.x)
        return replace(self, whole=whole, field=DisplacementField(y - y.mean(0), x - x.mean(0)))

    def spread(self, places: NDArray[np.int64], frame_count: int) -> MovieMotion:
        """Return the motion of `frame_count` frames from that of those at `places`, ascending: the others' neighbours'.

        Between two frames motion is interpolated; before the first and after the last nothing moves.
        """
        whole = replace(
            self.whole,
            shifts=_spread(self.whole.shifts, places, frame_count),
            standard_errors=_spread(self.whole.standard_errors, places, frame_count),
        )
        y, x = (_spread(terms, places, frame_count) for terms in (self.field.y, self.field.x))
        return replace(self, whole=whole, field=DisplacementField(y, x))


def _spread(values: NDArray[np.float64], places: NDArray[np.int64], frame_count: int) -> NDArray[np.float64]:
    columns = [np.interp(np.arange(frame_count), places, column) for column in values.T]
    return np.stack(columns, 1)


def estimate_movie_motion(
    stack: FrameStack,
    frame_shape: tuple[int, int],
    frame_count: int,
    patches: tuple[int, int] | None,
    electrons_per_px: float,
    progress: Callable[[float], None],
    levels: NDArray[np.float64] | None = None,
) -> MovieMotion:
    """Find how the content of a movie moves.

    Parameters
    ----------
    stack : FrameStack
        The frames, or groups of them.
    frame_shape, frame_count
        Their height and width, and their number.
    patches : tuple[int, int] | None
        Patches in x and in y; (1, 1): the whole frame alone; None: what suits size and dose.
    electrons_per_px : float
        Mean sum of all frames, counts a pixel.
    progress : Callable[[float], None]
        Called with the fraction that is done, from 0 to 1.
    levels : NDArray[np.float64] | None
        The frames' counts in units of the usual ones, where they differ.
    """
    counts = patch_counts(*frame_shape, electrons_per_px) if patches is None else (patches[1], patches[0])
    bin_factor = estimation_bin(*frame_shape)
    if frame_count < 2:
        return _whole_frame_alone(no_motion(frame_count), counts, bin_factor, "one frame: nothing to align")
    levels = np.ones(frame_count) if levels is None else levels
    alone = counts == (1, 1) or frame_count < LEAST_FRAMES
    coarse = bin_factor if alone else coarse_bin(frame_shape)
    with FixedStructureSearch(stack, levels) as search:
        whole, fixed = _whole_motion(stack, coarse, search)
        foreign = _foreign(whole, levels)
        if alone:
            reason = "one patch: the whole frame" if counts == (1, 1) else "two frames: too few to test a local model"
            return replace(_whole_frame_alone(whole, counts, bin_factor, reason), foreign=foreign, fixed=fixed)
        progress(0.4)
        if foreign or not whole.has_signal:
            reason = "the frames share nothing that stands out from noise"
            return replace(_whole_frame_alone(whole, counts, coarse, reason), foreign=foreign, fixed=fixed)
        layout = lay_patches(
            (frame_shape[0] // bin_factor, frame_shape[1] // bin_factor),
            counts,
            whole.shifts,
            bin_factor=bin_factor,
            kept=kept_frequencies(frame_shape),
        )
        part = None if fixed is None else search.fixed_part(whole.shifts, bin_factor)
        spectra = stack.patch_spectra(layout, part)
    found = estimate_local_motion(spectra, layout, whole.shifts, counts, lambda done: progress(0.6 + 0.4 * done))
    if found is None:
        reason = "the patches' frames share nothing beyond noise"
        return replace(_whole_frame_alone(whole, counts, bin_factor, reason), fixed=fixed)
    if not found.decision.used and coarse == bin_factor:  # the whole frame knows no less than its patches
        return MovieMotion(whole, DisplacementField.whole_frame(whole.shifts), found.decision, fixed=fixed)
    return MovieMotion(replace(whole, shifts=found.field.mean_shifts()), found.field, found.decision, fixed=fixed)


def _whole_motion(
    stack: FrameStack, bin_factor: int, search: FixedStructureSearch
) -> tuple[WholeFrameMotion, FixedStructure | None]:
    """Return the whole frame's motion, and the structure that is fixed to the camera if it matters."""
    spectra = stack.spectra(bin_factor)
    whole = estimate_motion(spectra, bin_factor)
    beside = search.motion(spectra, whole, bin_factor)
    return (whole, None) if beside is None else (beside.whole, beside.structure)


def foreign_frames(
    stack: FrameStack, shifts: NDArray[np.float64], frame_shape: tuple[int, int], levels: NDArray[np.float64]
) -> tuple[int, ...]:
    """Return which single frames do not match the others, their displacements (px as recorded) being known."""
    bin_factor = max(1, -(-max(frame_shape) // JUDGED_SIDE_PX))
    peaks = correlation_peaks(stack.spectra(bin_factor), shifts, bin_factor)
    return judge_by_correlation(peaks, levels)


def coarse_bin(frame_shape: tuple[int, int]) -> int:
    """Return by how much frames of that height and width are binned to find the whole frame's motion."""
    return max(estimation_bin(*frame_shape), -(-max(frame_shape) // COARSE_SIDE_PX))


def kept_frequencies(frame_shape: tuple[int, int]) -> float:
    """Return which part of the binned frames' frequencies, along each axis, patches of such frames keep."""
    if estimation_bin(*frame_shape) > 1:
        return KEPT_WHEN_BINNED
    return KEPT if max(frame_shape) > SMALL_SIDE_PX else 1.0


def _foreign(whole: WholeFrameMotion, levels: NDArray[np.float64]) -> tuple[int, ...]:
    return () if whole.peaks is None else judge_by_correlation(whole.peaks, levels)


def _whole_frame_alone(whole: WholeFrameMotion, counts: tuple[int, int], bin_factor: int, reason: str) -> MovieMotion:
    decision = LocalDecision(used=False, reason=reason, patches_x=counts[1], patches_y=counts[0], bin_factor=bin_factor)
    return MovieMotion(whole, DisplacementField.whole_frame(whole.shifts), decision)
