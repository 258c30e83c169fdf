"""Where the content of each frame lies: a polynomial displacement field per frame."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

MOST_DEGREE = 5

EXPONENTS = np.array(
    [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1)]
    + [(degree - of_y, of_y) for degree in range(3, MOST_DEGREE + 1) for of_y in range(degree + 1)]
)
"""Powers of x and of y in each term: 1, x, x², y, y², xy as RELION orders them, then x³, x²y, xy², y³, x⁴ and so on.

x = column / width - 0.5 and y = row / height - 0.5.
"""

MOST_COLUMNS, LARGEST_STEP_PX = 128, 0.2
"""Columns for which the field is evaluated once at most, and what it may differ by from one such piece to the next."""
_GRID = np.linspace(-0.5, 0.5, 9)

MEANS = np.prod(np.where(EXPONENTS % 2, 0, 0.5**EXPONENTS / (EXPONENTS + 1)), axis=1)
"""Mean of each term over the frame."""


def term_count(degree: int) -> int:
    """Return how many terms a polynomial of a degree has in x and y."""
    return (degree + 1) * (degree + 2) // 2


def term_names(count: int) -> str:
    """Return the first terms as people write them, separated by commas."""
    raised = {0: "", 1: "{}", 2: "{}²", 3: "{}³", 4: "{}⁴", 5: "{}⁵"}
    return ", ".join(raised[x].format("x") + raised[y].format("y") or "1" for x, y in EXPONENTS[:count].tolist())


def terms_at(y: NDArray[np.float64] | float, x: NDArray[np.float64] | float, count: int) -> NDArray[np.float64]:
    """Return the first terms at places y and x, from -0.5 to 0.5: shape (count, …)."""
    y, x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
    terms: NDArray[np.float64] = np.stack([x**of_x * y**of_y for of_x, of_y in EXPONENTS[:count].tolist()])
    return terms


@dataclass(frozen=True, slots=True)
class DisplacementField:
    """The content's displacement in each frame, in px of the movie as recorded.

    What lies at (row, column) of the micrograph lies at (row + y(row, column), column + x(row, column)) of frame t.

    Attributes
    ----------
    y, x : NDArray[np.float64]
        Coefficients, shape (frames, terms), of the first terms of `EXPONENTS`; 6 terms or more.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]

    @classmethod
    def whole_frame(cls, shifts: NDArray[np.float64]) -> DisplacementField:
        """Return the field of shifts that are the same all over a frame; `shifts` has shape (frames, 2), (y, x)."""
        y, x = np.zeros((len(shifts), term_count(2))), np.zeros((len(shifts), term_count(2)))
        y[:, 0], x[:, 0] = shifts[:, 0], shifts[:, 1]
        return cls(y, x)

    @property
    def terms(self) -> int:
        """Return the number of terms."""
        return int(self.y.shape[1])

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
        means = MEANS[: self.terms]
        return np.stack([self.y @ means, self.x @ means], 1)

    def at(self, y: float, x: float) -> NDArray[np.float64]:
        """Return the displacements at one place, y and x from -0.5 to 0.5: shape (frames, 2), (y, x)."""
        terms = terms_at(y, x, self.terms)
        return np.stack([self.y @ terms, self.x @ terms], 1)

    def by_powers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the coefficients of y and x by powers of y and of x, (frames, MOST_DEGREE + 1, MOST_DEGREE + 1)."""
        return _by_powers(self.y), _by_powers(self.x)

    def columns_at_once(self, width: int) -> int:
        """Return for how many columns of a frame, a power of 2, one evaluation at their middle is enough."""
        along = np.arange(MOST_DEGREE + 1)
        at_x, at_y = _GRID[:, None] ** np.maximum(along - 1, 0) * along, _GRID[:, None] ** along
        slopes = [at_y @ powers @ at_x.T for powers in self.by_powers()]
        steepest = float(np.abs(slopes).max()) / width
        enough = LARGEST_STEP_PX / max(steepest, LARGEST_STEP_PX / MOST_COLUMNS)
        return int(2 ** np.floor(np.log2(max(enough, 1))))

    def stretched(self, stretch: float, angle_degrees: float, frame_shape: tuple[int, int]) -> DisplacementField:
        """Return the field of a micrograph that is stretched around its middle besides, along one axis.

        `angle_degrees` is that axis' from the x axis, counter-clockwise with row 0 on top; the definition is that of
        MotionCor's `-Mag` (stretch: major over minor magnification). Polynomials stay polynomials of their degree.
        """
        size = np.array([frame_shape[1], frame_shape[0]], np.float64)  # x, y
        angle = -np.deg2rad(angle_degrees)
        axis = np.array([np.cos(angle), np.sin(angle)])
        back = np.eye(2) + (1 / stretch - 1) * np.outer(axis, axis)
        places = np.stack([grid.ravel() for grid in np.meshgrid(_GRID, _GRID)], 1)
        origins = places * size @ back.T
        from_x, from_y = (origins / size).T
        moved_x, moved_y = (origins - places * size).T
        here = terms_at(places[:, 1], places[:, 0], self.terms).T
        there = terms_at(from_y, from_x, self.terms)
        y = np.linalg.lstsq(here, (self.y @ there + moved_y).T, rcond=None)[0].T
        x = np.linalg.lstsq(here, (self.x @ there + moved_x).T, rcond=None)[0].T
        return DisplacementField(np.round(y, 9), np.round(x, 9))

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.y)


def _by_powers(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    of_x, of_y = EXPONENTS[: terms.shape[1]].T
    powers = np.zeros((len(terms), MOST_DEGREE + 1, MOST_DEGREE + 1))
    powers[:, of_y, of_x] = terms
    return powers


def _moved(terms: NDArray[np.float64], by_y: float, by_x: float) -> NDArray[np.float64]:
    """Return the coefficients of the polynomials in x - by_x and y - by_y."""
    of_x, of_y = EXPONENTS[: terms.shape[1]].T
    moved = _expanded(by_y).T @ _by_powers(terms) @ _expanded(by_x)
    return moved[:, of_y, of_x]


def _expanded(by: float) -> NDArray[np.float64]:
    """Return, for each power of (x - by), the coefficients of the powers of x."""
    orders = range(MOST_DEGREE + 1)
    return np.array([[comb(a, i) * (-by) ** (a - i) if i <= a else 0.0 for i in orders] for a in orders])
