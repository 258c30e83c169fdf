"""What comes out of a movie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preprocess.exposure.acquisition import Acquisition


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One written file. `role` is one of the words of the exposure's record (`micrograph`, `thumbnail`, …)."""

    role: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedMovie:
    """A processed movie: its files (all fsynced) and its figures.

    Shifts are the content's displacement relative to the first aligned frame, in px of the movie as recorded.
    """

    movie: Path
    acquisition: Acquisition
    frame_count: int
    movie_width_px: int
    movie_height_px: int
    micrograph_width_px: int
    micrograph_height_px: int
    micrograph_pixel_size_angstrom: float
    first_frame: int  # number of the first aligned frame, from 1
    shifts_y_px: tuple[float, ...]
    shifts_x_px: tuple[float, ...]
    motion_total_angstrom: float
    motion_early_angstrom: float
    motion_late_angstrom: float
    files: tuple[OutputFile, ...]
    seconds: dict[str, float]  # wall time of each stage; never written into an output
    device: str
    warnings: tuple[str, ...] = ()

    def file(self, role: str) -> Path | None:
        """Return the path of the output of that role, if it was written."""
        return next((file.path for file in self.files if file.role == role), None)
