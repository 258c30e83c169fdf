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
        """Return the field relative to the first frame, places counted as before."""
        return DisplacementField(self.y - self.y[0], self.x - self.x[0])

    def seen_from_first(self, frame_shape: tuple[int, int]) -> DisplacementField:
        """Return the field relative to the first frame, of `frame_shape` (height, width).

        Places are then counted where content lies in the first frame, and no more where it lies on average.
        """
        (by_y, by_x), (height, width) = self.mean_shifts()[0], frame_shape
        relative = self.relative_to_first()
        y, x = (_moved(terms, by_y / height, by_x / width) for terms in (relative.y, relative.x))
        return DisplacementField(y, x)

    def mean_shifts(self) -> NDArray[np.float64]:
        """Return each frame's displacement, mean over its area, shape (frames, 2), (y, x)."""
        means = np.array([1, 0, 1 / 12, 0, 1 / 12, 0])
        return np.stack([self.y @ means, self.x @ means], 1)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.y)


def _moved(terms: NDArray[np.float64], by_y: float, by_x: float) -> NDArray[np.float64]:
    """Return the coefficients of the polynomials in x - by_x and y - by_y."""
    constant, x, xx, y, yy, xy = terms.T
    constant = constant - x * by_x + xx * by_x**2 - y * by_y + yy * by_y**2 + xy * by_x * by_y
    return np.stack([constant, x - 2 * xx * by_x - xy * by_y, xx, y - 2 * yy * by_y - xy * by_x, yy, xy], 1)
