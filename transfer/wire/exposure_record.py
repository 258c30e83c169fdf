"""The record of an exposure: what the agent publishes and the receiver keeps.

A record has at most `MAX_RECORD_BYTES`. A reader ignores fields that it does not know, and keeps figures that it does
not know: a newer agent may send more. Records of the protocol's version 1 are read too (`transfer.wire.version_1`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field, FiniteFloat, StringConstraints, model_validator

from transfer.wire import version_1
from transfer.wire.fail_fast import FEW_NAMES, Listed
from transfer.wire.receipt import MAX_REVISION, Record

MAX_RECORD_BYTES = 256_000
"""The largest record that a receiver takes, as JSON."""
MAX_TEXT = 2000
"""Characters of a warning."""

FigureName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,79}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,79}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileRole(StrEnum):
    """What a file is to its exposure.

    Of the contrast transfer function: `ctf_spectrum` is an image of measured and fitted spectrum, `ctf_profile` their
    radial profiles as numbers, `ctf_plot` as a picture; `ctf_text` and `ctf_average` are CTFFIND's `.txt` and
    `_avrot.txt`. `power_spectrum` is what RELION's motion correction writes for CTFFIND.
    """

    MICROGRAPH = "micrograph"
    MICROGRAPH_UNWEIGHTED = "micrograph_unweighted"
    MICROGRAPH_EVEN = "micrograph_even"
    MICROGRAPH_ODD = "micrograph_odd"
    POWER_SPECTRUM = "power_spectrum"
    MOTION_STAR = "motion_star"
    RESULTS = "results"
    THUMBNAIL = "thumbnail"
    SPECTRUM = "spectrum"
    CTF_SPECTRUM = "ctf_spectrum"
    CTF_PROFILE = "ctf_profile"
    CTF_PLOT = "ctf_plot"
    CTF_TEXT = "ctf_text"
    CTF_AVERAGE = "ctf_average"
    MOTION_PLOT = "motion_plot"
    MOTION_LOG = "motion_log"
    PATCH_MOTION_LOG = "patch_motion_log"


class FileReference(Record):
    """One file of an exposure, as it was committed."""

    role: Word = Field(description="a FileRole; a newer agent may send others", examples=list(FileRole))
    path: str = Field(description="relative to the session's files")
    revision: int = Field(ge=1, le=MAX_REVISION)
    size_bytes: int = Field(ge=0)
    digest: Digest


class AcquisitionRecord(Record):
    """How, when and where the exposure was taken. None: unknown."""

    voltage_kv: FiniteFloat = Field(gt=0)
    cs_mm: FiniteFloat = Field(ge=0)
    amplitude_contrast: FiniteFloat = Field(ge=0, le=1)
    movie_pixel_size_angstrom: FiniteFloat = Field(gt=0, description="of the movie as recorded")
    magnification: FiniteFloat | None = None
    dose_per_frame_e_per_a2: FiniteFloat | None = None
    pre_exposure_e_per_a2: FiniteFloat = 0.0
    target_defocus_um: FiniteFloat | None = Field(default=None, description="the intended one; underfocus is positive")
    frame_count: int = Field(ge=1)
    shutter_time: datetime | None = Field(
        default=None, description="by the microscope's clock; without a time zone where the microscope writes none"
    )
    exposure_time_s: FiniteFloat | None = Field(default=None, gt=0, description="of the whole movie")
    stage_x_um: FiniteFloat | None = None
    stage_y_um: FiniteFloat | None = None
    tilt_angle_degrees: FiniteFloat | None = None
    tilt_series: str | None = Field(default=None, max_length=200, description="name of the tilt series")
    tilt_axis_degrees: FiniteFloat | None = Field(default=None, description="angle of the tilt axis in the images")
    grid_square: str | None = Field(default=None, max_length=200)
    foil_hole: str | None = Field(default=None, max_length=200)
    image_shift_x_um: FiniteFloat | None = None
    image_shift_y_um: FiniteFloat | None = None
    beam_shift_x: FiniteFloat | None = Field(default=None, description="in EPU's own unit")
    beam_shift_y: FiniteFloat | None = Field(default=None, description="in EPU's own unit")
    optics_group: str | None = Field(default=None, max_length=200)


class ShiftsRecord(Record):
    """Where the content of each aligned frame lies relative to the first, in px of the movie as recorded, (y, x)."""

    first_frame: int = Field(ge=1, description="number of the first aligned frame, from 1")
    y_px: Listed[FiniteFloat]
    x_px: Listed[FiniteFloat]


class TimesRecord(Record):
    """When the agent took each step, by the clock of the agent's machine. None: unknown."""

    found: AwareDatetime | None = None
    finished: AwareDatetime | None = Field(default=None, description="the movie was found not to grow any more")
    aligned: AwareDatetime | None = None
    sent: AwareDatetime | None = Field(default=None, description="all files were committed")


class WarningRecord(Record):
    """What a person should know about the exposure."""

    code: Word = Field(description="the kind of warning, for programs")
    text: str = Field(max_length=MAX_TEXT)
    frame: int | None = Field(default=None, ge=1, description="number of the frame that it is about, from 1")


class ProvenanceRecord(Record):
    """What the result was made from, and by what. None: unknown. A file's digest is BLAKE3 over all its bytes."""

    software: str = Field(max_length=200)
    movie_digest: Digest | None = None
    gain_digest: Digest | None = None
    source: str | None = Field(
        default=None, max_length=200, description="the name of the agent's source, if it has one"
    )
    gain_path: str | None = Field(
        default=None, max_length=MAX_TEXT, description="of the gain reference: relative to the source, or absolute"
    )
    defects_path: str | None = Field(
        default=None,
        max_length=MAX_TEXT,
        description="of the file of known defects: relative to the source, or absolute",
    )
    gain_found_by: str | None = Field(
        default=None, max_length=MAX_TEXT, description="how the gain reference was found that nobody named, for people"
    )
    settings_digest: Digest | None = Field(
        default=None, description="of all that decides the result but the movie and the software's version"
    )


class ExposureRecord(Record):
    """One processed exposure: how it was taken, its figures, and the files that hold its results.

    `revision` counts the exposure's processings from 1; a record of a higher revision supersedes the older one.
    """

    exposure_id: UUID
    revision: int = Field(default=1, ge=1, le=MAX_REVISION)
    movie: str = Field(description="the movie's path relative to the session's source")
    label: str = Field(description="the movie's stem; not unique")
    micrograph_pixel_size_angstrom: FiniteFloat = Field(gt=0)
    micrograph_width_px: int = Field(gt=0)
    micrograph_height_px: int = Field(gt=0)
    acquisition: AcquisitionRecord
    shifts: ShiftsRecord
    times: TimesRecord = TimesRecord()
    figures: Annotated[dict[FigureName, FiniteFloat], FEW_NAMES] = Field(
        default_factory=dict, description="numbers about the exposure by name; transfer/wire/figures.py defines them"
    )
    warnings: Listed[WarningRecord] = ()
    provenance: ProvenanceRecord | None = None
    files: Listed[FileReference] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _read_version_1(cls, values: Any) -> Any:
        return version_1.upgraded(values)

    def file(self, role: FileRole) -> FileReference | None:
        """Return the exposure's file of that role, if it has one."""
        return next((file for file in self.files if file.role == role), None)
