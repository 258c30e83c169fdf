"""Micrographs whose contrast transfer function is known: to test its estimation.

```python
from preprocess.simulation import MicrographSettings, simulate_micrograph

micrograph = simulate_micrograph(MicrographSettings(height=1024, width=1024, defocus_u_angstrom=12000, seed=7))
micrograph.image              # float32 (height, width)
micrograph.settings           # the truth: defocus_u_angstrom, defocus_v_angstrom, angle_degrees, ...
micrograph.write(folder / "a.mrc")
```

The image comes from physics, not from the formulas that an estimator fits: form factors, structure factors of ice
and carbon, slices each at its own depth, electrons counted one by one. It shares with estimators what defines defocus,
astigmatism and phase shift, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preprocess.simulation.frequencies import Frequencies, Image
from preprocess.simulation.imaging import image_contrast
from preprocess.simulation.micrograph_settings import MicrographSettings
from preprocess.simulation.recording import record
from preprocess.simulation.slices import make_surroundings, specimen_slices
from preprocess.simulation.writers import write_mrc

_EMPTY = {"empty", "grid bar"}


@dataclass(frozen=True, slots=True)
class SimulatedMicrograph:
    """A micrograph and what it was made from; settings hold the truth."""

    settings: MicrographSettings
    image: Image

    def write(self, path: Path) -> None:
        """Write the image as MRC, mode 2."""
        write_mrc(path, [self.image], frame_count=1, mode=2, pixel_size_angstrom=self.settings.pixel_size_angstrom)


def simulate_micrograph(settings: MicrographSettings) -> SimulatedMicrograph:
    """Return the micrograph of these settings; equal settings give equal images."""
    frequencies = Frequencies.of(settings.shape, settings.pixel_size_angstrom)
    surroundings = make_surroundings(settings)
    if settings.content in _EMPTY:
        contrast = np.zeros(settings.shape, np.float32)
    else:
        contrast = image_contrast(settings, frequencies, specimen_slices(settings, frequencies, surroundings))
    return SimulatedMicrograph(settings, record(settings, frequencies, contrast, surroundings.brightness))
