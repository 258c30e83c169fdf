"""What an alignment must know about the exposure, or says that it does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import AcquisitionUnknown
from preprocess.exposure.acquisition import Acquisition


@dataclass(frozen=True, slots=True)
class ExposureDose:
    """How the dose was spread over the frames.

    `after_frame` is what the specimen has received when each used frame ends, shape (frames,): frames before the first
    one used and the pre-exposure are part of it. `per_frame_e_per_a2` is the mean where doses are unequal.
    """

    per_frame_e_per_a2: float
    pre_exposure_e_per_a2: float
    after_frame: NDArray[np.float64]


def exposure_dose(acquisition: Acquisition, frame_count: int, used: range | None = None) -> ExposureDose | None:
    """Return the dose of each used frame (of all, if None); None when nobody knows it."""
    per_frame = acquisition.dose_per_frame_e_per_a2
    if per_frame is None and acquisition.total_dose_e_per_a2 is not None:
        per_frame = acquisition.total_dose_e_per_a2 / frame_count
    if not per_frame:
        return None
    before = acquisition.pre_exposure_e_per_a2 or 0.0
    if acquisition.frame_doses_e_per_a2:
        after = before + np.cumsum(acquisition.frame_doses_e_per_a2)
    else:
        after = before + per_frame * np.arange(1, frame_count + 1, dtype=np.float64)
    return ExposureDose(per_frame, before, after if used is None else after[used.start : used.stop])


def require_pixel_size(acquisition: Acquisition) -> float:
    """Return the pixel size in Å.

    Raises
    ------
    AcquisitionUnknown
        Nobody knows it.
    """
    if not acquisition.pixel_size_angstrom:
        raise AcquisitionUnknown(
            "the pixel size is unknown: no flag, configuration, sidecar or header says it", hint="Give --pixel-size."
        )
    return acquisition.pixel_size_angstrom


def require_for_weighting(acquisition: Acquisition, dose: ExposureDose | None) -> tuple[ExposureDose, float]:
    """Return dose and voltage in kV.

    Raises
    ------
    AcquisitionUnknown
        Nobody knows one of them.
    """
    if dose is None:
        raise AcquisitionUnknown(
            "the dose is unknown, and dose weighting needs it",
            hint="Give --dose-per-frame or --total-dose, or --no-dose-weighting.",
        )
    if not acquisition.voltage_kv:
        raise AcquisitionUnknown(
            "the voltage is unknown, and dose weighting needs it", hint="Give --voltage, or --no-dose-weighting."
        )
    return dose, acquisition.voltage_kv
