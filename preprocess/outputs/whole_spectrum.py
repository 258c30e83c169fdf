"""A whole power spectrum, of which half is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def whole_spectrum_of(half: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a spectrum, shape (2 r, 2 r), zero frequency in pixel (r, r), from its half of shape (2 r + 1, r + 1)."""
    left = half[::-1, :0:-1]  # the Hermitian mirror image
    return np.concatenate([left, half[:, :-1]], axis=1)[:-1]
