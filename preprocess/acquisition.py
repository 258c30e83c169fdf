"""How an exposure was taken, put together from flags, configuration, sidecars and the movie's header."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How an exposure was taken. None: nobody knows.

    `pixel_size_angstrom` is of the movie as recorded. `sources` says for each known field where it came from
    (`flag`, `epu-xml`, `mdoc`, `header`, `default`).
    """

    pixel_size_angstrom: float | None = None
    voltage_kv: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None
    magnification: float | None = None
    dose_per_frame_e_per_a2: float | None = None
    total_dose_e_per_a2: float | None = None
    pre_exposure_e_per_a2: float | None = None
    defocus_angstrom: float | None = None
    sources: dict[str, str] = field(default_factory=dict)
