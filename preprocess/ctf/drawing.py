"""The spectrum and the model of it as images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import HalfPlane
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.refinement import FittedModel
from preprocess.ctf.samples import SpectrumSamples

AT_ONCE = 4096


def drawn_spectra(
    samples: SpectrumSamples, plane: HalfPlane, terms: PhaseTerms, fit: FittedModel, threads: RowThreads
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the power over its background, and the model of that, as half spectra (2 r + 1, r + 1).

    Where nothing is fitted, both are 1: in the middle, on the axes and in the corners.
    """
    count = len(samples.value)
    measured, fitted = np.empty((2, count), np.float32)
    threads.run(
        ctf_kernels.draw_model,
        samples.arrays,
        (terms.wavelength, terms.aberration, terms.contrast_phase, terms.frequency_step),
        fit.parameters,
        fit.linear,
        measured,
        fitted,
        rows=count,
        unit=AT_ONCE,
    )
    return _as_image(measured, plane), _as_image(fitted, plane)


def _as_image(values: NDArray[np.float32], plane: HalfPlane) -> NDArray[np.float32]:
    image = np.ones((2 * plane.radius + 1, plane.radius + 1), np.float32)
    image.ravel()[plane.places] = values
    return image
