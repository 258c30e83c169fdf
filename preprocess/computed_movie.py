"""All that was computed from one movie: its micrographs and the figures about them, not yet written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.frame_judgement import LeftOutFrame
from preprocess.alignment.local_motion import LocalDecision
from preprocess.alignment.whole_frame import WholeFrameMotion
from preprocess.correction.defects import Defects
from preprocess.correction.gain_fit import GainFit
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.spectrum import BlockSpectra
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.dose import DoseWeights
from preprocess.exposure.exposure_dose import ExposureDose
from preprocess.geometry.accumulated_motion import AccumulatedMotion
from preprocess.geometry.field import DisplacementField
from preprocess.images import ArrivingImage
from preprocess.made_from import MadeFrom
from preprocess.movie_warning import MovieWarning
from preprocess.movies import Movie
from preprocess.quality.lit_area import LitArea
from preprocess.settings import AlignmentSettings
from preprocess.sidecars import Recording


@dataclass(frozen=True, slots=True)
class PowerSpectrum:
    """Amplitudes, shape (side, side), zero frequency at side / 2, and the pixel size of an image of such a spectrum."""

    image: NDArray[np.float32]
    pixel_size_angstrom: float


@dataclass(frozen=True, slots=True)
class Micrographs:
    """A movie's micrographs, in the number type that is written, and what their pictures are drawn from.

    Attributes
    ----------
    images : dict[str, ArrivingImage]
        By role: `micrograph` is dose-weighted; `micrograph_unweighted`, `micrograph_even` and `micrograph_odd` (frames
        2, 4, 6… and 1, 3, 5…, counted from 1) are plain sums.
    height, width : int
        Of all of them.
    boxes : NDArray[np.float32]
        Means of the micrograph's `thumbnail_boxes`.
    half_spectrum : NDArray[np.float32]
        Mean power spectrum of tiles, shape (2 r + 1, r + 1), zero frequency at [r, 0], up to 2.8 Å or Nyquist, of the
        plain sum where the CTF is wanted or it is written: what is left of the contrast transfer at high frequencies is
        not weighted down in it.
    frequency_step : float
        Between neighbouring rows and columns of it, 1/Å.
    ctf_spectra : BlockSpectra | None
        What the CTF is estimated from; None: it is not, or has been.
    power_spectrum : PowerSpectrum | None
        What is written for CTFFIND; None: nothing.
    """

    images: dict[str, ArrivingImage]
    height: int
    width: int
    boxes: NDArray[np.float32]
    half_spectrum: NDArray[np.float32]
    frequency_step: float
    ctf_spectra: BlockSpectra | None = None
    power_spectrum: PowerSpectrum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedMovie:
    """A movie's images and figures.

    `used` has the indices of the used frames, of which `left_out` are in no image; `device` is `cpu` or `cuda:N`.
    `gain_digest` is the BLAKE3 of the gain reference's file. `ctf` is that of the plain sum, in px of the micrographs;
    None: it is not wanted, or cannot be estimated. `lit_area` is
    None where the counts have an offset.
    """

    movie: Movie
    made_from: MadeFrom
    used: range
    settings: AlignmentSettings
    acquisition: Acquisition
    recording: Recording
    dose: ExposureDose | None
    pixel_size_angstrom: float
    weights: DoseWeights
    motion: WholeFrameMotion
    field: DisplacementField
    local: LocalDecision
    accumulated: AccumulatedMotion
    left_out: tuple[LeftOutFrame, ...]
    defects: Defects
    gain_fit: GainFit | None
    gain_digest: str | None
    mean_counts: float
    images: Micrographs
    device: str
    warnings: tuple[MovieWarning, ...]
    ctf: CtfEstimate | None = None
    lit_area: LitArea | None = None

    @property
    def micrograph_pixel_size_angstrom(self) -> float:
        """Return the pixel size of the micrographs."""
        return self.pixel_size_angstrom * self.settings.bin_factor
