"""The plain sum of a movie's frames, read one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preprocess.movies.movie import Movie


def raw_sum(movie: Movie, progress: Callable[[float], None] = lambda _fraction: None) -> NDArray[np.float32]:
    """Return the sum of all frames as they were recorded, shape (height, width).

    Raises
    ------
    UnreadableMovie
        A frame cannot be decoded.
    """
    total = np.zeros((movie.height, movie.width), np.float32)
    for done, frame in enumerate(movie.frames(), start=1):
        total += frame
        progress(done / movie.frame_count)
    return total
