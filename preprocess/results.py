"""What comes out of a movie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from preprocess.exposure.acquisition import Acquisition
from preprocess.movie_warning import MovieWarning
from preprocess.sidecars import Recording

MOTION_TOTAL, MOTION_EARLY, MOTION_LATE = "motion_total_angstrom", "motion_early_angstrom", "motion_late_angstrom"
CTF_DEFOCUS_U, CTF_DEFOCUS_V = "ctf_defocus_u_angstrom", "ctf_defocus_v_angstrom"
CTF_ASTIGMATISM_ANGLE, CTF_PHASE_SHIFT = "ctf_astigmatism_angle_degrees", "ctf_phase_shift_degrees"
CTF_RESOLUTION, CTF_FIT_QUALITY = "ctf_resolution_angstrom", "ctf_fit_quality"
CTF_DEFOCUS_ERROR, CTF_RELIABLE = "ctf_defocus_error_angstrom", "ctf_reliable"
CTF_TILT, CTF_TILT_AXIS, CTF_THICKNESS = "ctf_tilt_degrees", "ctf_tilt_axis_degrees", "ctf_thickness_angstrom"
ICE_RING_DENSITY, ICE_THICKNESS, ICINESS = "ice_ring_density", "ice_relative_thickness", "iciness"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One written file. `role` is one of the words of the exposure's record (`micrograph`, `thumbnail`, …)."""

    role: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GainUse:
    """How a gain reference was used, in the words of the options, and how that was decided (`GainDecision`).

    `file` is its name, and `found_by` says how it was found; empty: the user named it.
    """

    rotate_degrees: Literal[0, 90, 180, 270]
    flip: Literal["none", "x", "y"]
    operation: Literal["auto", "multiply", "divide"]
    decision: str
    file: str = ""
    found_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedMovie:
    """A processed movie: its files (all fsynced), its figures and its warnings.

    Attributes
    ----------
    stem : str
        What the names of its files begin with.
    first_frame : int
        Number of the first aligned frame, from 1.
    shifts_y_px, shifts_x_px : tuple[float, ...]
        The content's displacement relative to the first aligned frame, in px of the movie as recorded.
    figures : dict[str, float]
        Numbers about the movie by name; `transfer/wire/figures.py` defines each.
    seconds : dict[str, float]
        Wall time of each stage; never written into an output.
    gain : GainUse | None
        How the gain reference was used; None: there is none.
    software : str
        Name and version of what made it.
    gain_digest, settings_digest : str | None
        BLAKE3 of the gain reference's file, and of all that decides the result besides the movie; None: not computed.
    movie_digest : str | None
        BLAKE3 of the movie's file, as `b3sum` prints it; None: not computed.
    """

    movie: Path
    stem: str
    acquisition: Acquisition
    frame_count: int
    movie_width_px: int
    movie_height_px: int
    micrograph_width_px: int
    micrograph_height_px: int
    micrograph_pixel_size_angstrom: float
    first_frame: int
    shifts_y_px: tuple[float, ...]
    shifts_x_px: tuple[float, ...]
    figures: dict[str, float]
    files: tuple[OutputFile, ...]
    seconds: dict[str, float]
    device: str
    software: str
    warnings: tuple[MovieWarning, ...] = ()
    gain: GainUse | None = None
    recording: Recording = field(default_factory=Recording)
    gain_digest: str | None = None
    settings_digest: str | None = None
    movie_digest: str | None = None

    def file(self, role: str) -> Path | None:
        """Return the path of the output of that role, if it was written."""
        return next((file.path for file in self.files if file.role == role), None)
