"""Reads a movie onto the device, with gain reference and defects taken care of."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.frame_judgement import (
    BOXES,
    FOREIGN,
    SAMPLED_ROWS,
    LeftOutFrame,
    frame_levels,
    identical_frames,
    judge_by_counts,
)
from preprocess.backends.contract import Backend, DeviceImage, FrameStack, FrameSum
from preprocess.correction.defect_files import load_defects
from preprocess.correction.defects import Defects, find_defects
from preprocess.correction.gain import Gain, divides, load_checked_gain
from preprocess.correction.gain_fit import LARGEST_SIDE_PX, GainFit, check_gain
from preprocess.geometry.replacements import find_replacements
from preprocess.movies import Movie
from preprocess.movies.eer import EerMovie
from preprocess.movies.float_pixels import read_by_cpu
from preprocess.movies.frame_groups import FrameGroups
from preprocess.pipeline.gain_orientations import ChosenOrientation, GainOrientations
from preprocess.quality.lit_area import LitArea, lit_area
from preprocess.settings import AlignmentSettings, DefectSettings, GainSettings

LARGEST_SUM = 1e8
"""No pixel counts more in a whole movie."""


@dataclass(frozen=True, slots=True)
class HeldMovie:
    """A movie's frames on the device, ready to be aligned and summed.

    Attributes
    ----------
    groups : FrameGroups
        Which frames are added up to estimate motion.
    grouped : FrameStack
        Those sums; the frames themselves where each is a group of its own.
    mean_counts : float
        Mean value of a pixel in a frame, gain applied.
    gain_fitting : Future[GainFit] | None
        How well the gain reference fits; None without one.
    remarks : tuple[str, ...]
        What the user should know about how the movie was read.
    levels : NDArray[np.float64]
        The counts of the frames that are held, in units of the usual ones.
    used_count : int
        Number of used frames; the stack holds those that are not left out.
    left_out : tuple[LeftOutFrame, ...]
        The used frames without usable signal, in order.
    gain : GainSettings
        How the gain reference lies, as it was used.
    gain_doubts : tuple[str, ...]
        What the user should know about the values in the gain reference's file.
    gain_digest : str | None
        BLAKE3 of that file; None: there is no gain reference.
    identical : tuple[tuple[int, ...], ...]
        The used frames that hold the very same counts, in groups.
    lit_area : LitArea | None
        How much of the field is empty or saturated.
    """

    stack: FrameStack
    groups: FrameGroups
    grouped: FrameStack
    defects: Defects
    gain_fitting: Future[GainFit] | None
    mean_counts: float
    remarks: tuple[str, ...]
    levels: NDArray[np.float64]
    used_count: int
    left_out: tuple[LeftOutFrame, ...]
    gain: GainSettings
    gain_doubts: tuple[str, ...] = ()
    gain_digest: str | None = None
    identical: tuple[tuple[int, ...], ...] = ()
    lit_area: LitArea | None = None

    @property
    def gain_fit(self) -> GainFit | None:
        """Return how the gain reference fits, once that is known."""
        return None if self.gain_fitting is None else self.gain_fitting.result()

    @property
    def group_levels(self) -> NDArray[np.float64]:
        """Return the same of the groups."""
        levels = np.bincount(self.groups.of_frames(), self.levels)
        return levels / np.median(levels)

    @property
    def stacks(self) -> tuple[FrameStack, ...]:
        """Return the frames, and their sums if there are others."""
        return _different(self.stack, self.grouped)

    @property
    def kept(self) -> NDArray[np.int64]:
        """Return which of the used frames are held."""
        return np.setdiff1d(np.arange(self.used_count), [frame.place for frame in self.left_out])

    def without(self, foreign: tuple[int, ...]) -> HeldMovie:
        """Return the movie without some of the frames that it holds, given by their numbers there."""
        more = [LeftOutFrame(place, FOREIGN) for place in self.kept[list(foreign)].tolist()]
        groups = _hold_without(self.stack, self.groups, self.grouped, np.array(foreign))
        left_out = tuple(sorted([*self.left_out, *more], key=lambda frame: frame.place))
        levels = np.delete(self.levels, list(foreign))
        return replace(self, groups=groups, levels=levels, left_out=left_out)

    def take_over(self) -> None:
        """Go on with the frames in a thread that computes."""
        for frames in self.stacks:
            frames.take_over()

    def release(self) -> None:
        """Give back the memory of all frames."""
        for frames in self.stacks:
            frames.release()


def hold_movie(
    movie: Movie,
    used: range,
    groups: FrameGroups,
    backend: Backend,
    settings: AlignmentSettings,
    progress: Callable[[float], None],
    frame_doses: NDArray[np.float64] | None = None,
    orientations: GainOrientations | None = None,
) -> HeldMovie:
    """Read frames, leave out those without signal, replace defects; the gain is applied whenever frames are used.

    Who goes on with what is returned, in this thread or another, takes it over first.

    Parameters
    ----------
    used : range
        Indices of the frames to read, from 0.
    groups : FrameGroups
        How they are added up to estimate motion.
    progress : Callable[[float], None]
        Called with the fraction of frames read.
    frame_doses : NDArray[np.float64] | None
        Those of the used frames where they are unequal.
    orientations : GainOrientations | None
        What was decided about the gain reference for the run; None: the movie decides alone.
    """
    orientations = orientations or GainOrientations()
    backend = backend.for_reading()
    loaded = orientations.load(settings.gain, movie)
    listed = _listed_defects(settings.defects, movie)
    stack = backend.hold(len(used), movie.height, movie.width, movie.dtype)
    grouped = stack
    if not groups.single:
        grouped = backend.hold(len(groups), movie.height, movie.width, groups.sum_dtype(movie.dtype))
    remarks = stack.fill(movie, used, groups, grouped, progress)
    on_device = _set_gain(stack, loaded, backend)
    if backend.name != "cpu" and movie.dtype.kind == "f" and _must_be_looked_at(stack.frame_sum()):
        remarks = stack.fill(read_by_cpu(movie), used, groups, grouped, progress)
    moments = stack.box_moments(BOXES, SAMPLED_ROWS)
    identical = identical_frames(moments)
    left_out = judge_by_counts(moments, frame_doses)
    if left_out:
        places = np.array([frame.place for frame in left_out])
        moments = np.delete(moments, places, 0)
        groups = _hold_without(stack, groups, grouped, places)
    total = stack.frame_sum()
    choice = None
    if loaded.image is not None:
        choice = orientations.choose(settings, loaded, movie, total.raw_centre(LARGEST_SIDE_PX))
        if choice.settings != loaded.settings:
            loaded = load_checked_gain(choice.settings, movie)
            on_device = _set_gain(stack, loaded, backend)
            total = stack.frame_sum()
            choice = replace(choice, judgement=orientations.judge(loaded, total.raw_centre(LARGEST_SIDE_PX)))
    listed = _with_unbelievable(listed, movie.unbelievable_pixels)
    defects = find_defects(total, listed, automatic=settings.defects.automatic)
    gain = loaded.image
    fitting = None if choice is None else _start_fit(choice, loaded, total, defects, movie)
    if fitting is not None and settings.threads == 1:
        fitting.result()
    replacements = find_replacements(defects.pixels, total.shape)
    if gain is not None:
        on_device = backend.with_pixels(on_device, replacements.targets, replacements.gains(gain))
    for frames in _different(stack, grouped):
        frames.replace_pixels(replacements)
        frames.set_gain(on_device)
        frames.hand_over()
    return HeldMovie(
        stack=stack,
        groups=groups,
        grouped=grouped,
        defects=defects,
        gain_fitting=fitting,
        mean_counts=total.mean() / groups.frame_count,
        remarks=remarks,
        levels=frame_levels(moments),
        used_count=len(used),
        left_out=left_out,
        gain=replace(loaded.settings, found_by=settings.gain.found_by, not_found=settings.gain.not_found),
        gain_doubts=loaded.doubts,
        gain_digest=loaded.digest,
        identical=identical,
        lit_area=lit_area(moments),
    )


def _different(stack: FrameStack, grouped: FrameStack) -> tuple[FrameStack, ...]:
    return (stack,) if grouped is stack else (stack, grouped)


def _set_gain(stack: FrameStack, loaded: Gain, backend: Backend) -> DeviceImage | None:
    """Let a stack's frames be multiplied by a gain; return it as it lies on the device."""
    on_device = None if loaded.image is None else backend.upload(loaded.image)
    stack.set_gain(on_device)
    return on_device


def _start_fit(
    choice: ChosenOrientation, loaded: Gain, total: FrameSum, defects: Defects, movie: Movie
) -> Future[GainFit]:
    """Begin to find out how the gain fits a movie's raw sum, as it is used: only a report waits for it."""
    assert loaded.image is not None
    thread = ThreadPoolExecutor(1, thread_name_prefix="gain")
    fitting = thread.submit(
        check_gain,
        total.raw_centre(LARGEST_SIDE_PX).copy(),  # so that the whole sum's memory is free for what follows
        loaded.image,
        defects.pixels,
        loaded.settings,
        choice.judgement,
        choice.decision,
        divided=divides(loaded.settings, movie),
    )
    thread.shutdown(wait=False)
    return fitting


def _hold_without(
    stack: FrameStack, groups: FrameGroups, grouped: FrameStack, places: NDArray[np.int64]
) -> FrameGroups:
    """Let a stack, and that of its groups' sums, no more hold the frames at these places; return the others' groups."""
    fewer = groups.without(places.tolist())
    stack.keep(np.setdiff1d(np.arange(groups.frame_count), places))
    if grouped is not stack:
        grouped.keep(np.arange(len(fewer)))
        stack.add_up(fewer, grouped)
    return fewer


def _must_be_looked_at(total: FrameSum) -> bool:
    """Tell whether a sum shows values that no sum of counts has, which a device that decodes frames does not see."""
    statistics = total.statistics()
    return not (
        np.isfinite(statistics.mean) and statistics.lowest >= -LARGEST_SUM and statistics.highest <= LARGEST_SUM
    )


def _with_unbelievable(listed: NDArray[np.int64] | None, pixels: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if not pixels.size:
        return listed
    return pixels if listed is None else np.union1d(listed, pixels)


def _listed_defects(settings: DefectSettings, movie: Movie) -> NDArray[np.int64] | None:
    if settings.path is None:
        return None
    upsampling = movie.upsampling if isinstance(movie, EerMovie) else 1
    return np.flatnonzero(load_defects(settings.path, (movie.height, movie.width), upsampling=upsampling))
