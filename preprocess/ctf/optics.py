"""What is known about the microscope before its contrast transfer function is estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfOptics:
    """The values that the contrast transfer function (CTF) needs besides what is estimated.

    `pixel_size_angstrom` is that of the image whose spectrum is looked at.
    """

    pixel_size_angstrom: float
    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float

    @property
    def wavelength_angstrom(self) -> float:
        """Return the electrons' relativistic wavelength: h / sqrt(2 m e V (1 + e V / (2 m c²)))."""
        volt = self.voltage_kv * 1e3
        return 12.2643247 / math.sqrt(volt * (1 + 0.978466e-6 * volt))

    @property
    def contrast_phase(self) -> float:
        """Return the phase shift of the amplitude contrast, rad."""
        return math.asin(self.amplitude_contrast)
