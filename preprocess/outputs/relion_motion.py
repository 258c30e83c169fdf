"""A displacement field as RELION's polishing knows it: a shift for each frame, and a polynomial of third order.

RELION's local model (version 1) gives each axis 18 coefficients: for each spatial term 1, x, x², y, y², xy (x is
column / width - 0.5, y row / height - 0.5) three, of z, z² and z³, where z counts frames from the first used one, 0.
The model is zero there. It is added to the frame's shift; both are what moves the content back (the negative of its
displacement) relative to the first frame.

A field that has more freedom in time than three powers of z is projected: each frame's mean displacement goes into its
own shift without any loss; what is left is fitted by least squares, over the frame by polynomials of second order, and
their courses in time by powers of z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.geometry.field import EXPONENTS, MEANS, DisplacementField, term_count

POWERS = 3
LOCAL_TERMS = (1, 2, 3, 4, 5)
QUADRATIC = term_count(2)
MEAN_OF_TERM = MEANS[:QUADRATIC]
SQUARE_OF_TERM = np.array([1, 1 / 12, 1 / 180, 1 / 12, 1 / 180, 1 / 144])
"""Mean square over the frame of 1, x, x² - 1/12, y, y² - 1/12, xy, which are orthogonal."""


@dataclass(frozen=True, slots=True)
class RelionMotion:
    """RELION's description of a field.

    Attributes
    ----------
    shifts : NDArray[np.float64]
        Of each frame, shape (frames, 2), (y, x), px, RELION's sign, 0 for the first.
    coefficients : NDArray[np.float64] | None
        The local model's 36, those of x first, px; None where motion is the same all over the frame.
    residual_rms_px : float
        Root mean square, for each axis, over frame and frames, of what the model cannot express.
    """

    shifts: NDArray[np.float64]
    coefficients: NDArray[np.float64] | None
    residual_rms_px: float


def relion_motion(field: DisplacementField) -> RelionMotion:
    """Project a field on RELION's model."""
    relative = field.relative_to_first()
    back = -np.stack([relative.x, relative.y])  # axis, frame, term
    shifts = back @ MEANS[: field.terms]
    quadratic, beyond = _quadratic_part(back)
    local = quadratic[:, :, LOCAL_TERMS]
    if not local.any():
        return RelionMotion(shifts[::-1].T + 0.0, None, 0.0)
    z = np.arange(len(field), dtype=np.float64)
    powers = np.stack([z ** (power + 1) for power in range(POWERS)], 1)
    scale = np.abs(powers).max(0)
    courses = local.transpose(1, 0, 2).reshape(len(z), -1)
    fitted = np.linalg.lstsq(powers / scale, courses, rcond=None)[0]
    residual = (courses - powers / scale @ fitted).reshape(len(z), 2, -1)
    mean_square = (residual**2).mean((0, 1)) @ SQUARE_OF_TERM[list(LOCAL_TERMS)] + beyond
    of_terms = np.zeros((2, len(MEAN_OF_TERM), POWERS))
    of_terms[:, LOCAL_TERMS] = (fitted / scale[:, None]).reshape(POWERS, 2, -1).transpose(1, 2, 0)
    of_terms[:, 0] = -(MEAN_OF_TERM[1:, None] * of_terms[:, 1:]).sum(1)  # the mean is in the shifts already
    return RelionMotion(shifts[::-1].T + 0.0, of_terms.reshape(-1), float(np.sqrt(mean_square)))


def _quadratic_part(terms: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the polynomials of second order that come closest over the frame, and the mean square of what is left.

    `terms` has shape (axes, frames, terms).
    """
    products = _mean_products(terms.shape[2])
    low, high = products[:QUADRATIC, :QUADRATIC], products[:QUADRATIC, QUADRATIC:]
    onto = np.linalg.solve(low, high)
    quadratic = terms[:, :, :QUADRATIC] + terms[:, :, QUADRATIC:] @ onto.T
    left = terms.copy()
    left[:, :, :QUADRATIC] -= quadratic
    return quadratic, max(0.0, float((left @ products * left).sum(2).mean()))


def _mean_products(count: int) -> NDArray[np.float64]:
    """Return the mean over the frame of the product of any two terms."""
    powers = EXPONENTS[:count, None] + EXPONENTS[None, :count]
    means: NDArray[np.float64] = np.where(powers % 2, 0, 0.5**powers / (powers + 1)).prod(2)
    return means
