"""When and where an exposure was recorded, by names and sidecars."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from preprocess.sidecars import Recording, first_known, read_sidecar, recording_by_name

REPO = Path(__file__).resolve().parents[3]
REAL_DATA = Path(os.environ.get("CRYOFERRY_TEST_DATA", REPO.parent / "shared" / "data"))
needs_real_data = pytest.mark.skipif(
    not (REAL_DATA / "frame_set_single.mdoc").is_file(), reason="needs real sidecars (CRYOFERRY_TEST_DATA)"
)


@needs_real_data
def test_a_real_epu_xml() -> None:
    sidecar = read_sidecar(REAL_DATA / "FoilHole_9015883_Data_9017347_6_20250108_154915.xml", Path("movie.tiff"))
    assert sidecar is not None
    assert sidecar.recording == Recording(
        shutter_time=datetime(2025, 1, 8, 15, 49, 18, 115828, UTC),
        exposure_time_s=0.89,
        stage_x_um=pytest.approx(-97.152028),
        stage_y_um=pytest.approx(-152.721848),
        tilt_angle_degrees=pytest.approx(-0.0247, abs=1e-4),
        beam_shift_x=pytest.approx(0.0608672),
        beam_shift_y=pytest.approx(-0.154228),
    )


@needs_real_data
def test_a_real_serialem_mdoc_of_frames() -> None:
    sidecar = read_sidecar(REAL_DATA / "frame_set_single.mdoc", Path("s_mmm_00993.tif"))
    assert sidecar is not None
    assert sidecar.recording == Recording(
        shutter_time=datetime(2021, 10, 8, 7, 39, 8),
        exposure_time_s=1.07856,
        stage_x_um=-142.82,
        stage_y_um=-457.442,
        tilt_angle_degrees=32.984,
        image_shift_x_um=2.69654,
        image_shift_y_um=-0.304661,
    )


@needs_real_data
def test_a_real_tilt_series() -> None:
    sidecar = read_sidecar(REAL_DATA / "tilt_series.mdoc", Path("ts_01_001_3.0.mrc"))
    assert sidecar is not None
    assert (sidecar.recording.tilt_series, sidecar.recording.tilt_angle_degrees) == ("TS_01", 3.00113)
    other = read_sidecar(REAL_DATA / "tilt_series.mdoc", Path("another.mrc"))
    assert other is not None
    assert other.recording == Recording()


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("08-Oct-2021  07:39:08", (2021, 10, 8, 7, 39, 8)),
        ("29-FEB-24 00:00:00", (2024, 2, 29, 0, 0, 0)),
        ("30-Feb-24 00:00:00", None),
        ("08-Okt-21 07:39:08", None),
        ("2021-10-08 07:39:08", None),
        ("", None),
    ],
)
def test_the_time_of_an_mdoc(tmp_path: Path, written: str, time: tuple[int, ...] | None) -> None:
    (tmp_path / "a.mdoc").write_text(f"[FrameSet = 0]\nDateTime = {written}\nStagePosition = 1 x\nImageShift = 1 2 3\n")
    sidecar = read_sidecar(tmp_path / "a.mdoc", Path("a.tif"))
    assert sidecar is not None
    expected = None if time is None else datetime(*time)  # type: ignore[arg-type,misc]
    assert sidecar.recording == Recording(shutter_time=expected)


@pytest.mark.parametrize(
    ("movie", "square", "hole"),
    [
        ("Images-Disc1/GridSquare_51/Data/FoilHole_17_Data_2_3_20250108_154915_fractions.tiff", "51", "17"),
        ("foilhole_17_data_2_3_EER.eer", None, "17"),
        ("GridSquare_51/s_mmm_00993.tif", None, None),
        ("GridSquare_51/FoilHole_17_20250108.tiff", None, None),
    ],
)
def test_names(movie: str, square: str | None, hole: str | None) -> None:
    assert recording_by_name(Path(movie)) == Recording(grid_square=square, foil_hole=hole)


def test_the_first_known_value_counts() -> None:
    first, second = Recording(stage_x_um=1.0), Recording(stage_x_um=2.0, foil_hole="3")
    assert first_known([first, second]) == Recording(stage_x_um=1.0, foil_hole="3")
    assert first_known([]) == Recording()
