"""Reads a movie onto the device, with gain reference and defects taken care of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Backend, FrameStack, FrameSum
from preprocess.correction.defect_files import load_defects
from preprocess.correction.defects import Defects, find_defects
from preprocess.correction.gain import divides, load_checked_gain
from preprocess.correction.gain_fit import LARGEST_SIDE_PX, GainFit, check_gain
from preprocess.geometry.replacements import find_replacements
from preprocess.movies import Movie
from preprocess.movies.eer import EerMovie
from preprocess.movies.float_pixels import read_by_cpu
from preprocess.movies.frame_groups import FrameGroups
from preprocess.settings import AlignmentSettings, DefectSettings

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
    gain_fit : GainFit | None
        How well the gain reference fits; None without one.
    remarks : tuple[str, ...]
        What the user should know about how the movie was read.
    gain_doubts : tuple[str, ...]
        What the user should know about the values in the gain reference's file.
    """

    stack: FrameStack
    groups: FrameGroups
    grouped: FrameStack
    defects: Defects
    gain_fit: GainFit | None
    mean_counts: float
    remarks: tuple[str, ...]
    gain_doubts: tuple[str, ...] = ()

    def release(self) -> None:
        """Give back the memory of all frames."""
        self.stack.release()
        self.grouped.release()


def hold_movie(
    movie: Movie,
    used: range,
    groups: FrameGroups,
    backend: Backend,
    settings: AlignmentSettings,
    progress: Callable[[float], None],
) -> HeldMovie:
    """Read frames, find defects, replace them; the gain reference is applied whenever frames are used.

    Parameters
    ----------
    used : range
        Indices of the frames to read, from 0.
    groups : FrameGroups
        How they are added up to estimate motion.
    progress : Callable[[float], None]
        Called with the fraction of frames read.
    """
    loaded = load_checked_gain(settings.gain, movie)
    gain = loaded.image
    listed = _listed_defects(settings.defects, movie)
    stack = backend.hold(len(used), movie.height, movie.width, movie.dtype)
    grouped = stack
    if not groups.single:
        grouped = backend.hold(len(groups), movie.height, movie.width, groups.sum_dtype(movie.dtype))
    remarks = stack.fill(movie, used, groups, grouped, progress)
    on_device = None if gain is None else backend.upload(gain)
    stack.set_gain(on_device)
    total = stack.frame_sum()
    if backend.name != "cpu" and _must_be_looked_at(movie, total):
        remarks = stack.fill(read_by_cpu(movie), used, groups, grouped, progress)
        total = stack.frame_sum()
    listed = _with_unbelievable(listed, movie.unbelievable_pixels)
    defects = find_defects(total, listed, automatic=settings.defects.automatic)
    gain_fit = None
    if gain is not None:
        divided = divides(settings.gain, movie)
        gain_fit = check_gain(total.raw_centre(LARGEST_SIDE_PX), gain, defects.pixels, settings.gain, divided=divided)
    replacements = find_replacements(defects.pixels, total.shape)
    if gain is not None:
        on_device = backend.with_pixels(on_device, replacements.targets, replacements.gains(gain))
    for frames in (stack,) if groups.single else (stack, grouped):
        frames.replace_pixels(replacements)
        frames.set_gain(on_device)
    return HeldMovie(stack, groups, grouped, defects, gain_fit, total.mean() / len(used), remarks, loaded.doubts)


def _must_be_looked_at(movie: Movie, total: FrameSum) -> bool:
    """Tell whether a sum shows values that no sum of counts has, which a device that decodes frames does not see."""
    if movie.dtype.kind != "f":
        return False
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
