"""Where the content of each frame lies: a polynomial displacement field per frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TERMS = 6
"""Terms of the polynomial: 1, x, x², y, y², xy; x = column / width - 0.5 and y = row / height - 0.5."""


@dataclass(frozen=True, slots=True)
class DisplacementField:
    """The content's displacement in each frame, in px of the movie as recorded.

    What lies at (row, column) of the micrograph lies at (row + y(row, column), column + x(row, column)) of frame t.

    Attributes
    ----------
    y, x : NDArray[np.float64]
        Coefficients, shape (frames, 6), of the terms 1, x, x², y, y², xy.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]

    @classmethod
    def whole_frame(cls, shifts: NDArray[np.float64]) -> DisplacementField:
        """Return the field of shifts that are the same all over a frame; `shifts` has shape (frames, 2), (y, x)."""
        y, x = np.zeros((len(shifts), TERMS)), np.zeros((len(shifts), TERMS))
        y[:, 0], x[:, 0] = shifts[:, 0], shifts[:, 1]
        return cls(y, x)

    def relative_to_first(self) -> DisplacementField:
        """Return the field relative to the first frame."""
        return DisplacementField(self.y - self.y[0], self.x - self.x[0])

    def mean_shifts(self) -> NDArray[np.float64]:
        """Return each frame's displacement, mean over its area, shape (frames, 2), (y, x)."""
        means = np.array([1, 0, 1 / 12, 0, 1 / 12, 0])
        return np.stack([self.y @ means, self.x @ means], 1)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.y)
