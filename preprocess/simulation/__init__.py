"""Movies with known motion: to test alignment, to try cryoferry without a microscope.

```python
from preprocess.simulation import SimulationSettings, simulate_movie

movie = simulate_movie(SimulationSettings(height=512, width=512, frame_count=16, seed=7))
movie.truth.shifts_yx_px      # (frames, 2): content's displacement (y, x) relative to frame 0, in px
movie.truth.displacement(3, y=100.0, x=200.0)  # with local motion: (dy, dx) at a place of frame 3
for frame in movie.frames():  # uint8 (height, width) counts, made one by one; the same again at every call
    ...
movie.frame(5)                # any one of them
movie.gain                    # multiplicative gain reference, float32, zero = defect; None without
movie.write(folder / "a.tiff")               # or .mrc, .mrcs, .eer, by extension; writer options as keywords
movie.write_gain(folder / "gain.mrc", movie_format="tiff")
movie.write_truth(folder / "a_truth.json")
movie.write_epu_xml(folder / "a.xml")
```

Everything is in the orientation in which `open_movie` hands frames out; writers turn files so that this holds (TIFF is
stored upside down). Equal settings give equal movies in every run. `SimulationSettings` says what
can be chosen; movies of one microscope share `detector_seed` and with it gain reference and hot pixels.

`simulate_micrograph` makes single images whose contrast transfer function is known; see `micrograph.py`.

`write_tiff`, `write_mrc`, `write_eer`, `write_dm4` and `write_gain` also write arrays of one's own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from preprocess.simulation.micrograph_settings import MicrographSettings
from preprocess.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from preprocess.simulation.dm4_writer import write_dm4
    from preprocess.simulation.eer_writer import write_eer
    from preprocess.simulation.micrograph import SimulatedMicrograph, simulate_micrograph
    from preprocess.simulation.movie import SimulatedMovie, Truth, simulate_movie
    from preprocess.simulation.writers import write_gain, write_mrc, write_tiff

__all__ = [
    "MicrographSettings",
    "SimulatedMicrograph",
    "SimulatedMovie",
    "SimulationSettings",
    "Truth",
    "simulate_micrograph",
    "simulate_movie",
    "write_dm4",
    "write_eer",
    "write_gain",
    "write_mrc",
    "write_tiff",
]

_HOMES = {
    "SimulatedMicrograph": "micrograph",
    "SimulatedMovie": "movie",
    "Truth": "movie",
    "simulate_micrograph": "micrograph",
    "simulate_movie": "movie",
    "write_dm4": "dm4_writer",
    "write_eer": "eer_writer",
    "write_gain": "writers",
    "write_mrc": "writers",
    "write_tiff": "writers",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: `cryoferry --help` reads this package's command and must not wait for scipy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
