"""What may be chosen about a simulated movie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LocalMotionKind = Literal["quadratic", "doming", "rough"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """Everything that decides a simulated movie; equal settings give equal movies.

    `motion_px` is the whole-frame drift from first to last frame; with `shifts_yx_px` the trajectory is given instead
    (one (y, x) for each frame; the first is made zero). `local_motion_px` is the root mean square for each
    axis, over the last frame's area, of what differs from the whole frame's motion; its kinds: `local_motion.py`.
    Movies of one `particle_seed` show the same particle; None: each movie has its own.
    """

    height: int = 1024
    width: int = 1024
    frame_count: int = 24
    pixel_size_angstrom: float = 1.1
    voltage_kv: float = 300.0
    dose_per_frame_e_per_a2: float = 0.83  # with 1.1 Å: 1.0 electrons a pixel and frame
    motion_px: float = 8.0
    jitter_px: float = 0.25
    local_motion_px: float = 0.0
    local_motion_kind: LocalMotionKind = "quadratic"
    shifts_yx_px: tuple[tuple[float, float], ...] | None = None
    seed: int = 0
    detector_seed: int = 0
    gain: bool = True
    hot_pixels_per_million: float = 20.0
    dead_pixels_per_million: float = 10.0
    contrast: float = 0.12  # standard deviation of the undamaged image, relative to its mean
    particle_diameter_angstrom: float = 130.0
    particle_seed: int | None = None
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    defocus_angstrom: float = 14000.0
    astigmatism_angstrom: float = 300.0

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32 or self.frame_count < 1:
            raise ValueError("a simulated movie has at least 1 frame of 32 x 32 px")
        if self.pixel_size_angstrom <= 0 or self.dose_per_frame_e_per_a2 <= 0 or self.voltage_kv <= 0:
            raise ValueError("pixel size, voltage and dose are greater than zero")
        if self.shifts_yx_px is not None and len(self.shifts_yx_px) != self.frame_count:
            raise ValueError(f"{self.frame_count} frames need as many shifts, not {len(self.shifts_yx_px)}")

    @property
    def electrons_per_px_per_frame(self) -> float:
        """Return the mean number of electrons that hit a pixel during a frame."""
        return self.dose_per_frame_e_per_a2 * self.pixel_size_angstrom**2
