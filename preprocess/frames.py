"""Reads a movie onto the device, with gain reference and defects taken care of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from preprocess.backends.contract import Backend, FrameStack
from preprocess.defects import Defects, find_defects, find_replacements
from preprocess.gain import divides, load_gain
from preprocess.movies import Movie
from preprocess.quality import GainFit, check_gain
from preprocess.settings import GainSettings


@dataclass(frozen=True, slots=True)
class HeldMovie:
    """A movie's frames on the device, ready to be aligned and summed.

    Attributes
    ----------
    mean_counts : float
        Mean value of a pixel in a frame, gain applied.
    gain_fit : GainFit | None
        How well the gain reference fits; None without one.
    """

    stack: FrameStack
    defects: Defects
    gain_fit: GainFit | None
    mean_counts: float


def hold_movie(movie: Movie, backend: Backend, gain_settings: GainSettings, told: Callable[[float], None]) -> HeldMovie:
    """Read all frames, find defects, replace them; the gain reference is applied whenever frames are used.

    Parameters
    ----------
    told : Callable[[float], None]
        Told the fraction of frames read.
    """
    gain = load_gain(gain_settings, movie)
    stack = backend.hold(movie.frame_count, movie.height, movie.width, movie.dtype)
    for index, frame in enumerate(movie.frames()):
        stack.put(index, frame)
        told((index + 1) / movie.frame_count)
    raw_sum = stack.raw_sum()
    corrected = raw_sum if gain is None else raw_sum * gain
    mean_counts = float(corrected.mean(dtype=np.float64)) / movie.frame_count
    defects = find_defects(corrected, gain)
    gain_fit = None
    if gain is not None:
        divided = divides(gain_settings, movie)
        gain_fit = check_gain(raw_sum, gain, defects.pixels, gain_settings, divided=divided)
    replacements = find_replacements(defects.pixels, raw_sum.shape)
    stack.replace_pixels(replacements.targets, replacements.for_frames(movie.frame_count))
    stack.set_gain(None if gain is None else replacements.mend_gain(gain))
    return HeldMovie(stack, defects, gain_fit, mean_counts)
