"""`STEM_ctf.mrc`: the measured spectrum and the fitted model in one image, as CTFFIND's diagnostic image shows them.

The image is square, its zero frequency in pixel (n / 2, n / 2), row 0 first. The model is in the quadrant of rows and
columns below n / 2, the measured spectrum in the three others. Rings are scaled: minima at 0, maxima at 1. The pixel
size in the header is that of an image whose Nyquist frequency lies at the edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.estimate import CtfEstimate
from preprocess.outputs.report import software_label
from preprocess.outputs.scaled_rings import scaled_spectra
from preprocess.outputs.whole_files import mrc_bytes
from preprocess.outputs.whole_spectrum import whole_spectrum_of


def ctf_image(estimate: CtfEstimate) -> NDArray[np.float32]:
    """Return the image, shape (2 r, 2 r) for spectra of shape (2 r + 1, r + 1)."""
    measured, fitted = (whole_spectrum_of(half) for half in scaled_spectra(estimate))
    middle = len(measured) // 2
    measured[:middle, :middle] = fitted[:middle, :middle]
    return measured


def ctf_mrc(estimate: CtfEstimate) -> bytes:
    """Return the content of the file."""
    image = ctf_image(estimate)
    pixel_size = 1 / (len(image) * estimate.frequency_step_per_angstrom)
    return mrc_bytes(image, pixel_size, f"{software_label()}: spectrum and CTF fit")
