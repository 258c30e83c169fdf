"""The record of an exposure: what the agent publishes and the receiver keeps."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import Field

from transfer.wire.receipt import MAX_REVISION, Record


class FileRole(StrEnum):
    """What a file is to its exposure."""

    MICROGRAPH = "micrograph"
    MICROGRAPH_UNWEIGHTED = "micrograph_unweighted"
    MICROGRAPH_EVEN = "micrograph_even"
    MICROGRAPH_ODD = "micrograph_odd"
    MOTION_STAR = "motion_star"
    RESULTS = "results"
    THUMBNAIL = "thumbnail"
    SPECTRUM = "spectrum"
    MOTION_PLOT = "motion_plot"
    MOTION_LOG = "motion_log"
    PATCH_MOTION_LOG = "patch_motion_log"


class FileReference(Record):
    """One file of an exposure, as it was committed."""

    role: FileRole
    path: str = Field(description="relative to the session's files")
    revision: int = Field(ge=1, le=MAX_REVISION)
    size_bytes: int = Field(ge=0)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class AcquisitionRecord(Record):
    """How the exposure was taken; None where nobody knows."""

    voltage_kv: float = Field(gt=0)
    cs_mm: float = Field(ge=0)
    amplitude_contrast: float = Field(ge=0, le=1)
    movie_pixel_size_angstrom: float = Field(gt=0, description="of the movie as recorded")
    magnification: float | None = None
    dose_per_frame_e_per_a2: float | None = None
    pre_exposure_e_per_a2: float = 0.0
    frame_count: int = Field(ge=1)


class ShiftsRecord(Record):
    """Where the content of each aligned frame lies relative to the first, in px of the movie as recorded, (y, x)."""

    first_frame: int = Field(ge=1, description="number of the first aligned frame, from 1")
    y_px: tuple[float, ...]
    x_px: tuple[float, ...]


class MotionRecord(Record):
    """Accumulated motion in Å: the sum of frame-to-frame distances, split at 4 e/Å²."""

    total_angstrom: float = Field(ge=0)
    early_angstrom: float = Field(ge=0)
    late_angstrom: float = Field(ge=0)


class CtfRecord(Record):
    """A fitted contrast transfer function."""

    defocus_u_angstrom: float
    defocus_v_angstrom: float
    astigmatism_angle_degrees: float
    resolution_angstrom: float | None = None
    fit_quality: float | None = None
    phase_shift_degrees: float = 0.0


class ExposureRecord(Record):
    """One processed exposure: its figures, and the files that hold its results.

    `revision` counts the exposure's processings from 1; a record of a higher revision supersedes the older one.
    """

    exposure_id: UUID
    revision: int = Field(default=1, ge=1)
    movie: str = Field(description="the movie's path relative to the session's source")
    label: str = Field(description="the movie's stem; not unique")
    micrograph_pixel_size_angstrom: float = Field(gt=0)
    micrograph_width_px: int = Field(gt=0)
    micrograph_height_px: int = Field(gt=0)
    acquisition: AcquisitionRecord
    shifts: ShiftsRecord
    motion: MotionRecord
    ctf: CtfRecord | None = None
    files: tuple[FileReference, ...] = Field(min_length=1)

    def file(self, role: FileRole) -> FileReference | None:
        """Return the exposure's file of that role, if it has one."""
        return next((file for file in self.files if file.role == role), None)
