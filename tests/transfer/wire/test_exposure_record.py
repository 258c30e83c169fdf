from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transfer.wire import version_1
from transfer.wire.exposure_record import ExposureRecord, FileRole

FILE = {"role": "micrograph", "path": "a.mrc", "revision": 1, "size_bytes": 3, "digest": "0" * 64}
COMMON: dict[str, Any] = {
    "exposure_id": "8c5f5a0c-0000-4000-8000-000000000001",
    "revision": 1,
    "movie": "a.tiff",
    "label": "a",
    "micrograph_pixel_size_angstrom": 0.83,
    "micrograph_width_px": 64,
    "micrograph_height_px": 64,
    "acquisition": {
        "voltage_kv": 300.0,
        "cs_mm": 2.7,
        "amplitude_contrast": 0.1,
        "movie_pixel_size_angstrom": 0.83,
        "magnification": None,
        "dose_per_frame_e_per_a2": 1.2,
        "pre_exposure_e_per_a2": 0.0,
        "frame_count": 2,
    },
    "shifts": {"first_frame": 1, "y_px": [0.0, 0.5], "x_px": [0.0, -0.25]},
    "files": [FILE],
}
OLD = {
    **COMMON,
    "motion": {"total_angstrom": 0.5, "early_angstrom": 0.4, "late_angstrom": 0.1},
    "ctf": {
        "defocus_u_angstrom": 12000.0,
        "defocus_v_angstrom": 11000.0,
        "astigmatism_angle_degrees": 30.0,
        "resolution_angstrom": None,
        "fit_quality": None,
        "phase_shift_degrees": 0.0,
    },
}


def test_a_record_of_version_1_is_read_and_written():
    record = ExposureRecord.model_validate(OLD)
    assert record.figures == {
        "motion_total_angstrom": 0.5,
        "motion_early_angstrom": 0.4,
        "motion_late_angstrom": 0.1,
        "ctf_defocus_u_angstrom": 12000.0,
        "ctf_defocus_v_angstrom": 11000.0,
        "ctf_astigmatism_angle_degrees": 30.0,
        "ctf_phase_shift_degrees": 0.0,
    }
    assert ExposureRecord.model_validate_json(record.model_dump_json()) == record
    back = version_1.downgraded(record.model_dump(mode="json"))
    assert version_1.is_version_1(back)
    assert back.keys() == OLD.keys()
    assert ExposureRecord.model_validate(back) == record
    assert back["acquisition"] == OLD["acquisition"]


def test_a_record_of_version_1_without_ctf():
    record = ExposureRecord.model_validate({**OLD, "ctf": None})
    assert not any(name.startswith("ctf") for name in record.figures)
    assert version_1.downgraded(record.model_dump(mode="json"))["ctf"] is None


def test_what_a_newer_agent_adds_is_no_error():
    newer = {
        **COMMON,
        "figures": {"motion_total_angstrom": 1.0, "a_figure_of_tomorrow_px": 2.0},
        "a_section_of_tomorrow": {"x": 1},
        "acquisition": {**COMMON["acquisition"], "a_field_of_tomorrow": 3},
        "files": [FILE, {**FILE, "role": "a_role_of_tomorrow", "path": "a.new"}],
    }
    record = ExposureRecord.model_validate(newer)
    assert record.figures["a_figure_of_tomorrow_px"] == 2.0
    assert "tomorrow" not in record.model_dump_json(include={"acquisition"})
    assert record.file(FileRole.MICROGRAPH) == record.files[0]
    assert record.files[1].role == "a_role_of_tomorrow"


@pytest.mark.parametrize(
    "wrong",
    [
        {"figures": {"motion_total_angstrom": float("nan")}},
        {"figures": {"motion_total_angstrom": float("inf")}},
        {"figures": {"Not A Name": 1.0}},
        {"figures": {"motion_total_angstrom": None}},
        {"warnings": [{"code": "Two Words", "text": "x"}]},
        {"warnings": [{"code": "x", "text": "x" * 2001}]},
        {"warnings": [{"code": "x", "text": "x", "frame": 0}]},
        {"times": {"found": "2025-01-08T15:49:18"}},
        {"shifts": {"first_frame": 1, "y_px": [float("nan")], "x_px": [0]}},
        {"provenance": {"software": "x", "movie_digest": "short"}},
    ],
)
def test_what_is_wrong_is_refused(wrong):
    with pytest.raises(ValidationError):
        ExposureRecord.model_validate({**COMMON, **wrong})


class Strict(BaseModel):
    """What version 1 required of all data: exactly the named fields."""

    model_config = ConfigDict(extra="forbid")


class OldFile(Strict):
    role: Literal["micrograph", "motion_star"]
    path: str
    revision: int = Field(ge=1)
    size_bytes: int = Field(ge=0)
    digest: str


class OldAcquisition(Strict):
    voltage_kv: float = Field(gt=0)
    cs_mm: float = Field(ge=0)
    amplitude_contrast: float = Field(ge=0, le=1)
    movie_pixel_size_angstrom: float = Field(gt=0)
    magnification: float | None = None
    dose_per_frame_e_per_a2: float | None = None
    pre_exposure_e_per_a2: float = 0.0
    frame_count: int = Field(ge=1)


class OldShifts(Strict):
    first_frame: int = Field(ge=1)
    y_px: tuple[float, ...]
    x_px: tuple[float, ...]


class OldMotion(Strict):
    total_angstrom: float = Field(ge=0)
    early_angstrom: float = Field(ge=0)
    late_angstrom: float = Field(ge=0)


class OldCtf(Strict):
    defocus_u_angstrom: float
    defocus_v_angstrom: float
    astigmatism_angle_degrees: float
    resolution_angstrom: float | None = None
    fit_quality: float | None = None
    phase_shift_degrees: float = 0.0


class OldRecord(Strict):
    """The record as software of version 1 reads it."""

    exposure_id: UUID
    revision: int = Field(default=1, ge=1)
    movie: str
    label: str
    micrograph_pixel_size_angstrom: float = Field(gt=0)
    micrograph_width_px: int = Field(gt=0)
    micrograph_height_px: int = Field(gt=0)
    acquisition: OldAcquisition
    shifts: OldShifts
    motion: OldMotion
    ctf: OldCtf | None = None
    files: tuple[OldFile, ...] = Field(min_length=1)


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"motion_total_angstrom": 1.0, "hot_pixel_count": 3.0},
        {"ctf_defocus_u_angstrom": 9000.0, "ctf_defocus_v_angstrom": 8000.0, "ctf_astigmatism_angle_degrees": 5.0},
        {"ctf_resolution_angstrom": 4.0},
    ],
)
def test_older_software_reads_what_is_sent_to_it(figures):
    record = ExposureRecord.model_validate(
        {
            **COMMON,
            "acquisition": {**COMMON["acquisition"], "stage_x_um": 5.0, "shutter_time": "2025-01-08T15:49:18"},
            "figures": figures,
            "warnings": [{"code": "faint", "text": "faint movie"}],
            "times": {"found": "2025-01-08T15:49:18Z"},
            "provenance": {"software": "cryoferry 9"},
        }
    )
    old = OldRecord.model_validate(version_1.downgraded(record.model_dump(mode="json")))
    assert old.motion.total_angstrom == figures.get("motion_total_angstrom", 0)
    assert (old.ctf is not None) == ("ctf_defocus_u_angstrom" in figures)
