"""What an alignment must know about the exposure, or says that it does not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def exposure_dose(
    acquisition: Acquisition, frame_count: int, used: range | None = None, unexposed: Collection[int] = ()
) -> ExposureDose | None:
    """Return the dose of each used frame (of all, if None); None when it is unknown.

    `unexposed` are the indices of frames during which the beam was off: they have no dose, unless it is listed.
    """
    per_frame = acquisition.dose_per_frame_e_per_a2
    if per_frame is None and acquisition.total_dose_e_per_a2 is not None:
        per_frame = acquisition.total_dose_e_per_a2 / max(frame_count - len(unexposed), 1)
    if not per_frame:
        return None
    before = acquisition.pre_exposure_e_per_a2 or 0.0
    if acquisition.frame_doses_e_per_a2:
        after = before + np.cumsum(acquisition.frame_doses_e_per_a2)
    else:
        exposed = np.array([index not in unexposed for index in range(frame_count)], np.float64)
        after = before + per_frame * np.cumsum(exposed)
    return ExposureDose(per_frame, before, after if used is None else after[used.start : used.stop])


def require_known(
    acquisition: Acquisition, dose: ExposureDose | None, *, dose_weighting: bool, unusable: Sequence[str] = ()
) -> float:
    """Make sure that all facts about the exposure are known that an alignment needs; return the pixel size in Å.

    Parameters
    ----------
    unusable
        Why sidecars of the movie could not be used.

    Raises
    ------
    AcquisitionUnknown
        The text names every missing fact, and the hint every option that gives one.
    """
    missing: dict[str, str] = {}
    if not acquisition.pixel_size_angstrom:
        missing["the pixel size"] = "--pixel-size"
    if dose_weighting and not acquisition.voltage_kv:
        missing["the voltage"] = "--voltage"
    if dose_weighting and dose is None:
        missing["the dose"] = "--dose-per-frame (or --total-dose)"
    if not missing:
        assert acquisition.pixel_size_angstrom
        return acquisition.pixel_size_angstrom
    needless = "" if list(missing) == ["the pixel size"] else " Or give --no-dose-weighting, which needs no dose."
    raise AcquisitionUnknown(
        f"{_listed(list(missing))} of the movie {'is' if len(missing) == 1 else 'are'} not known:"
        f" no option, configuration, sidecar or header gives it{''.join(f'; {why}' for why in unusable)}",
        hint=f"Give {_listed(list(missing.values()))}." + needless,
    )


def _listed(names: list[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
