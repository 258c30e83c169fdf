"""A gain reference as a movie's frames lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.correction.gain import load_gain
from preprocess.movies import Movie
from preprocess.settings import GainSettings


def multiplier_of_frames(settings: GainSettings, movie: Movie) -> NDArray[np.float32]:
    """Return what frames are multiplied by, shape (height, width), in the orientation in which they are read.

    Raises
    ------
    GainMismatch, UnsupportedFormat
        As `load_checked_gain` has them.
    """
    factors = load_gain(settings, movie)
    assert factors is not None, "the settings name no file"
    return factors
