"""Reads a movie onto the device, with gain reference and defects taken care of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Backend, FrameStack
from preprocess.defect_files import load_defects
from preprocess.defects import Defects, find_defects, find_replacements
from preprocess.gain import divides, load_gain
from preprocess.grouping import FrameGroups
from preprocess.movies import Movie
from preprocess.movies.eer import EerMovie
from preprocess.quality import GainFit, check_gain
from preprocess.settings import AlignmentSettings, DefectSettings


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
    """

    stack: FrameStack
    groups: FrameGroups
    grouped: FrameStack
    defects: Defects
    gain_fit: GainFit | None
    mean_counts: float

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
    told: Callable[[float], None],
) -> HeldMovie:
    """Read frames, find defects, replace them; the gain reference is applied whenever frames are used.

    Parameters
    ----------
    used : range
        Indices of the frames to read, from 0.
    groups : FrameGroups
        How they are added up to estimate motion.
    told : Callable[[float], None]
        Told the fraction of frames read.
    """
    gain = load_gain(settings.gain, movie)
    listed = _listed_defects(settings.defects, movie)
    stack = backend.hold(len(used), movie.height, movie.width, movie.dtype)
    grouped = stack
    if not groups.single:
        grouped = backend.hold(len(groups), movie.height, movie.width, groups.sum_dtype(movie.dtype))
    reading = movie.deliver(stack.put, used.start, used.stop)
    if not groups.single:
        reading = _read_groups(movie, used, groups, stack, grouped)
    for done, _ in enumerate(reading, start=1):
        told(done / len(used))
    raw_sum = stack.raw_sum()
    corrected = raw_sum if gain is None else raw_sum * gain
    mean_counts = float(corrected.mean(dtype=np.float64)) / len(used)
    defects = find_defects(corrected, gain, listed, automatic=settings.defects.automatic)
    gain_fit = None
    if gain is not None:
        divided = divides(settings.gain, movie)
        gain_fit = check_gain(raw_sum, gain, defects.pixels, settings.gain, divided=divided)
    replacements = find_replacements(defects.pixels, raw_sum.shape)
    mended_gain = None if gain is None else replacements.mend_gain(gain)
    for frames_or_sums, count in ((stack, len(used)), (grouped, len(groups)))[: 1 if groups.single else 2]:
        frames_or_sums.replace_pixels(replacements.targets, replacements.for_frames(count))
        frames_or_sums.set_gain(mended_gain)
    return HeldMovie(stack, groups, grouped, defects, gain_fit, mean_counts)


def _read_groups(
    movie: Movie, used: range, groups: FrameGroups, stack: FrameStack, grouped: FrameStack
) -> Iterator[None]:
    """Read frames one after the other, and add them up by groups; yields after each."""
    group_of_frame = groups.of_frames()
    total = None
    for index, frame in enumerate(movie.frames(used.start, used.stop)):
        stack.put(index, frame)
        total = frame.astype(groups.sum_dtype(movie.dtype)) if total is None else total + frame
        if index + 1 == len(used) or group_of_frame[index + 1] != group_of_frame[index]:
            grouped.put(int(group_of_frame[index]), total)
            total = None
        yield


def _listed_defects(settings: DefectSettings, movie: Movie) -> NDArray[np.bool_] | None:
    if settings.path is None:
        return None
    upsampling = movie.upsampling if isinstance(movie, EerMovie) else 1
    return load_defects(settings.path, (movie.height, movie.width), upsampling=upsampling)
