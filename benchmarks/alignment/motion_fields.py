"""Where content moved according to a program: its own model of motion, evaluated at places of its micrograph.

Every displacement here is the content's, in px of the movie as recorded: what lies at place p of the micrograph lies
at p + displacement(t, p) of frame t. RELION's shifts are the negative of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.alignment.star_file import read_star
from benchmarks.errors import ResultUnreadable
from preprocess.geometry.field import terms_at

Places = NDArray[np.float64]

POLYNOMIAL_TERMS = 6
"""Terms in space of RELION's model: 1, x, x², y, y², xy."""

RELION_COEFFICIENTS = 36


class MotionField(Protocol):
    """A model of motion."""

    @property
    def frame_count(self) -> int:
        """Return the number of frames."""
        ...

    def displacement(self, frame_index: int, y: Places, x: Places) -> tuple[Places, Places]:
        """Return the content's displacement (dy, dx) in a frame at rows y and columns x of the micrograph."""
        ...


@dataclass(frozen=True, slots=True)
class PolynomialField:
    """A polynomial in space for each frame, coefficients (frames, 2, terms) with (y, x), in px."""

    height: int
    width: int
    coefficients: NDArray[np.float64]

    @property
    def frame_count(self) -> int:
        """Return the number of frames."""
        return len(self.coefficients)

    def displacement(self, frame_index: int, y: Places, x: Places) -> tuple[Places, Places]:
        """Return the content's displacement (dy, dx) in a frame at rows y and columns x."""
        terms = terms_at(
            np.asarray(y) / self.height - 0.5, np.asarray(x) / self.width - 0.5, self.coefficients.shape[2]
        )
        dy, dx = np.tensordot(self.coefficients[frame_index], terms, 1)
        return dy, dx


def whole_frame_field(height: int, width: int, shifts_yx_px: NDArray[np.float64]) -> PolynomialField:
    """Return the field of shifts (frames, 2) that are the same all over a frame."""
    coefficients = np.zeros((len(shifts_yx_px), 2, POLYNOMIAL_TERMS))
    coefficients[:, :, 0] = shifts_yx_px
    return PolynomialField(height, width, coefficients)


def relion_field(star_path: Path, *, with_local_model: bool = True) -> PolynomialField:
    """Return the field that RELION's per-movie STAR file holds: global shifts and the local model, if it has one.

    RELION's local model is of third order in time, z = frame counted from 0: for each axis and each term in space
    three coefficients, of z, z² and z³; the 18 of X come before the 18 of Y.

    Raises
    ------
    ResultUnreadable
        The file is missing or is none of RELION's.
    """
    blocks = read_star(star_path)
    try:
        general = blocks["general"]
        width, height = int(general["rlnImageSizeX"][0]), int(general["rlnImageSizeY"][0])
        shifts = blocks["global_shift"]
        shift_x, shift_y = (np.array(shifts[f"rlnMicrographShift{axis}"], np.float64) for axis in "XY")
        model = blocks.get("local_motion_model", {})
        own = {
            int(float(index)): float(value)
            for index, value in zip(
                model.get("rlnMotionModelCoeffsIdx", []), model.get("rlnMotionModelCoeff", []), strict=True
            )
        }
    except (KeyError, ValueError) as error:
        raise ResultUnreadable(f"{star_path}: no motion of RELION's: {error}") from error
    moved_back = np.zeros((len(shift_x), 2, POLYNOMIAL_TERMS))
    moved_back[:, 0, 0], moved_back[:, 1, 0] = shift_y, shift_x
    if with_local_model and own:
        model_x, model_y = np.array([own.get(index, 0.0) for index in range(RELION_COEFFICIENTS)]).reshape(2, 6, 3)
        z = np.arange(len(shift_x))
        powers = np.stack([z, z**2, z**3]).astype(np.float64)
        moved_back[:, 0] += (model_y @ powers).T
        moved_back[:, 1] += (model_x @ powers).T
    return PolynomialField(height, width, -moved_back)
