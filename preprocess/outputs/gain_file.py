"""Writes a gain reference as an MRC file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.images import PixelStatistics
from preprocess.outputs.report import software_label
from preprocess.outputs.whole_files import write_micrograph


@dataclass(frozen=True, slots=True)
class _ImageInMemory:
    image: NDArray[np.float32]
    beyond_float16: bool = False

    @property
    def statistics(self) -> PixelStatistics:
        values = self.image.astype(np.float64)
        return PixelStatistics(
            values.size, float(values.mean()), float(values.std()), float(values.min()), float(values.max())
        )

    def pixels(self) -> NDArray[np.float32]:
        return self.image


def write_gain_reference(path: Path, sensitivity: NDArray[np.float32], *, movie_format: str, what: str) -> str:
    """Write what pixels count, or its inverse, so that movies of that format take it as it lies.

    Parameters
    ----------
    sensitivity
        Shape (height, width), in the orientation in which the movies' frames are read; 0: a defect.
    what
        What it is, for the file's label, in ASCII.

    Returns
    -------
    str
        What the movies are to do with it by RELION's rule: `divide` for EER, else `multiply`.
    """
    image = sensitivity
    if movie_format != "eer":
        image = np.divide(1, sensitivity, out=np.zeros_like(sensitivity), where=sensitivity > 0)
    write_micrograph(path, _ImageInMemory(image), None, f"{software_label()}: {what}")
    return operation_of(movie_format)


def operation_of(movie_format: str) -> str:
    """Return what movies of that format do with such a file by RELION's rule."""
    return "divide" if movie_format == "eer" else "multiply"
