"""Flags, configuration, sidecars and header are put together in this order, and contradictions are refused by name."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preprocess.errors import AcquisitionConflict, AcquisitionUnknown
from preprocess.exposure.acquisition import Acquisition, assumed_optics, read_sidecars, resolve_acquisition
from preprocess.exposure.exposure_dose import require_known
from preprocess.movies import open_movie
from preprocess.settings import EerSettings
from preprocess.sidecars import SidecarUnreadableError, find_sidecars, read_sidecar
from preprocess.simulation import SimulationSettings, simulate_movie, write_eer, write_mrc, write_tiff

REPO = Path(__file__).resolve().parents[3]
REAL_DATA = Path(os.environ.get("CRYOFERRY_TEST_DATA", REPO.parent / "shared" / "data"))

needs_real_data = pytest.mark.skipif(
    not (REAL_DATA / "frame_set_single.mdoc").is_file(),
    reason="real EPU and SerialEM sidecars are not here; name their folder in CRYOFERRY_TEST_DATA",
)


def write_movie(path, *, height=64, width=96, frames=5, pixel_size_angstrom=None):
    content = [np.ones((height, width), np.uint8)] * frames
    if path.suffix == ".mrc":
        write_mrc(path, content, frame_count=frames, pixel_size_angstrom=pixel_size_angstrom)
    else:
        write_tiff(path, content, pixel_size_angstrom=pixel_size_angstrom)
    return open_movie(path)


def write_mdoc(path, **values):
    lines = ["T = SerialEM", "Voltage = 200", "", "[FrameSet = 0]"]
    path.write_text("\n".join(lines + [f"{key} = {value}" for key, value in values.items()]) + "\n")


def write_xml(path, **changes):
    simulate_movie(SimulationSettings(height=64, width=96, frame_count=5, **changes)).write_epu_xml(path)


@pytest.mark.parametrize(
    ("movie", "sidecar"),
    [
        ("FoilHole_1_Data_2_3_20210625_171939_fractions.tiff", "FoilHole_1_Data_2_3_20210625_171939.xml"),
        ("FoilHole_1_Data_2_3_20210625_171939_Fractions.mrc", "FoilHole_1_Data_2_3_20210625_171939.xml"),
        ("FoilHole_1_Data_2_3_20210625_171939_EER.eer", "FoilHole_1_Data_2_3_20210625_171939.xml"),
        ("1015B_g1_0000_Dec23_13.20.21.tif", "1015B_g1_0000_Dec23_13.20.21.tif.mdoc"),
    ],
)
def test_sidecars_are_found_by_their_names(tmp_path, movie, sidecar):
    (tmp_path / sidecar).touch()
    (tmp_path / "FoilHole_1_Data_2_3_20210625_171940.xml").touch()
    assert find_sidecars(tmp_path / movie) == [tmp_path / sidecar]


@needs_real_data
def test_a_real_epu_xml():
    sidecar = read_sidecar(REAL_DATA / "FoilHole_9015883_Data_9017347_6_20250108_154915.xml", Path("movie.tiff"))
    assert sidecar.pixel_size_angstrom == pytest.approx(1.0558814)
    assert (sidecar.image_height_px, sidecar.image_width_px) == (2046, 2880)
    assert sidecar.voltage_kv == 300
    assert sidecar.magnification == 165000
    assert sidecar.total_dose_e_per_a2 == pytest.approx(14.410837)
    assert sidecar.defocus_angstrom == pytest.approx(27000)
    assert sidecar.frame_count == 50


@needs_real_data
def test_the_pixel_size_of_a_binned_epu_image_is_scaled_to_a_k3_movie(tmp_path):
    movie_path = tmp_path / "FoilHole_9015883_Data_9017347_6_20250108_154915_fractions.tiff"
    write_tiff(movie_path, [np.zeros((4092, 5760), np.uint8)])
    shutil.copy(REAL_DATA / "FoilHole_9015883_Data_9017347_6_20250108_154915.xml", tmp_path)
    known = resolve_acquisition(open_movie(movie_path))
    assert known.pixel_size_angstrom == pytest.approx(0.5279407)
    assert known.dose_per_frame_e_per_a2 == pytest.approx(14.410837 / 50)  # the fractions that EPU wrote
    assert known.sources["pixel_size_angstrom"] == "epu-xml"


@needs_real_data
def test_a_real_serialem_mdoc(tmp_path):
    shutil.copy(REAL_DATA / "frame_set_single.mdoc", tmp_path / "s_mmm_00993.tif.mdoc")
    known = resolve_acquisition(write_movie(tmp_path / "s_mmm_00993.tif", frames=12))
    assert known.pixel_size_angstrom == pytest.approx(1.2827)
    assert known.voltage_kv == 300
    assert known.magnification == 33000
    assert known.dose_per_frame_e_per_a2 == pytest.approx(0.63824)
    assert known.total_dose_e_per_a2 == pytest.approx(7.65888)
    assert known.defocus_angstrom == pytest.approx(45000)
    assert set(known.sources.values()) == {"mdoc", "default"}


@needs_real_data
def test_a_real_tilt_series_mdoc_is_read_at_the_section_that_names_the_movie():
    sidecar = read_sidecar(REAL_DATA / "tilt_series.mdoc", Path("ts_01_001_3.0.mrc"))
    assert sidecar.pixel_size_angstrom == pytest.approx(5.4)
    assert sidecar.total_dose_e_per_a2 is None  # 0: nobody measured it
    assert sidecar.frame_count == 8
    other = read_sidecar(REAL_DATA / "tilt_series.mdoc", Path("another.mrc"))
    assert other.frame_count is None


def test_what_a_simulated_epu_says_is_read_back(tmp_path):
    settings = {"pixel_size_angstrom": 0.77, "voltage_kv": 200.0, "dose_per_frame_e_per_a2": 1.3}
    write_xml(tmp_path / "a.xml", **settings)
    known = resolve_acquisition(write_movie(tmp_path / "a_fractions.tiff"))
    assert known.pixel_size_angstrom == pytest.approx(0.77)
    assert known.voltage_kv == 200
    assert known.dose_per_frame_e_per_a2 == pytest.approx(1.3)
    assert known.total_dose_e_per_a2 == pytest.approx(6.5)
    assert known.defocus_angstrom == pytest.approx(14000)


def test_precedence_field_by_field(tmp_path):
    write_xml(tmp_path / "a.xml", pixel_size_angstrom=0.77)
    movie = write_movie(tmp_path / "a_fractions.tiff", pixel_size_angstrom=0.77)
    known = resolve_acquisition(
        movie,
        flags=Acquisition(voltage_kv=100.0),
        configured=Acquisition(voltage_kv=200.0, cs_mm=0.01, dose_per_frame_e_per_a2=2.0),
    )
    assert (known.voltage_kv, known.sources["voltage_kv"]) == (100.0, "flag")
    assert (known.cs_mm, known.sources["cs_mm"]) == (0.01, "configuration")
    assert (known.dose_per_frame_e_per_a2, known.total_dose_e_per_a2) == (2.0, 10.0)
    assert known.sources["total_dose_e_per_a2"] == "configuration"
    assert (known.pixel_size_angstrom, known.sources["pixel_size_angstrom"]) == (pytest.approx(0.77), "epu-xml")
    assert (known.amplitude_contrast, known.sources["amplitude_contrast"]) == (0.1, "default")


def test_a_total_dose_of_higher_rank_beats_a_dose_per_frame(tmp_path):
    movie = write_movie(tmp_path / "a.tif")
    known = resolve_acquisition(
        movie,
        flags=Acquisition(total_dose_e_per_a2=40.0),
        configured=Acquisition(dose_per_frame_e_per_a2=1.0),
    )
    assert (known.dose_per_frame_e_per_a2, known.total_dose_e_per_a2) == (8.0, 40.0)


def test_header_alone_and_nothing_at_all(tmp_path):
    known = resolve_acquisition(write_movie(tmp_path / "a.mrc", pixel_size_angstrom=1.4))
    assert (known.pixel_size_angstrom, known.sources["pixel_size_angstrom"]) == (pytest.approx(1.4), "header")
    for name, pixel_size in (("one.mrc", 1.0), ("none.mrc", None), ("none.tif", None)):
        nothing = resolve_acquisition(write_movie(tmp_path / name, pixel_size_angstrom=pixel_size))
        assert nothing.pixel_size_angstrom is None
        assert nothing.voltage_kv is None
        assert "pixel_size_angstrom" not in nothing.sources


def test_sidecar_and_header_in_conflict_are_refused_unless_somebody_decides(tmp_path):
    write_mdoc(tmp_path / "a.tif.mdoc", PixelSpacing=0.83)
    movie = write_movie(tmp_path / "a.tif", pixel_size_angstrom=1.66)
    with pytest.raises(AcquisitionConflict, match=r"0\.83 Å by its mdoc and 1\.66 Å by its header"):
        resolve_acquisition(movie)
    assert resolve_acquisition(movie, flags=Acquisition(pixel_size_angstrom=0.84)).pixel_size_angstrom == 0.84
    assert resolve_acquisition(movie, configured=Acquisition(pixel_size_angstrom=1.0)).pixel_size_angstrom == 1.0


def test_a_difference_under_one_percent_is_no_conflict(tmp_path):
    write_mdoc(tmp_path / "a.tif.mdoc", PixelSpacing=0.83)
    known = resolve_acquisition(write_movie(tmp_path / "a.tif", pixel_size_angstrom=0.837))
    assert known.pixel_size_angstrom == 0.83


def test_a_sidecar_of_another_image_size_is_refused(tmp_path):
    write_xml(tmp_path / "a.xml")
    movie = write_movie(tmp_path / "a_fractions.tiff", height=60)
    with pytest.raises(AcquisitionConflict, match=r"64 x 96 px \(height x width\).* has 60 x 96 px"):
        resolve_acquisition(movie)
    assert resolve_acquisition(movie, flags=Acquisition(pixel_size_angstrom=0.9)).pixel_size_angstrom == 0.9


def test_total_dose_and_dose_per_frame_that_contradict(tmp_path):
    movie = write_movie(tmp_path / "a.tif")
    with pytest.raises(AcquisitionConflict, match="contradict"):
        resolve_acquisition(movie, flags=Acquisition(total_dose_e_per_a2=40.0, dose_per_frame_e_per_a2=1.0))


def test_eer_dose_counts_the_hardware_frames_that_are_left_out(tmp_path):
    path = tmp_path / "a.eer"
    write_eer(
        path,
        [np.ones((32, 32), np.uint8)] * 5,
        hardware_frames_per_frame=6,
        pixel_size_angstrom=2.0,
        total_dose_e_per_px=120.0,
    )
    known = resolve_acquisition(open_movie(path, EerSettings(hardware_frames_per_frame=7)))
    assert known.dose_per_frame_e_per_a2 == pytest.approx(30.0 / 30 * 7)
    assert known.total_dose_e_per_a2 == pytest.approx(28.0)


def test_the_dose_of_an_eer_header_is_that_of_the_pixel_size_that_the_user_gives(tmp_path):
    path = tmp_path / "a.eer"
    write_eer(path, [np.ones((32, 32), np.uint8)] * 5, pixel_size_angstrom=2.0, total_dose_e_per_px=120.0)
    known = resolve_acquisition(open_movie(path), flags=Acquisition(pixel_size_angstrom=1.0))
    assert known.total_dose_e_per_a2 == pytest.approx(120.0)


def test_an_unreadable_sidecar_is_left_out_and_said(tmp_path, caplog):
    write_xml(tmp_path / "a.xml")
    whole = (tmp_path / "a.xml").read_text()
    (tmp_path / "a.xml").write_text(whole[: len(whole) // 2])
    movie = write_movie(tmp_path / "a_fractions.tiff", pixel_size_angstrom=0.9)
    with caplog.at_level(logging.WARNING):
        known = resolve_acquisition(movie)
    assert known.sources["pixel_size_angstrom"] == "header"
    assert "a.xml" in caplog.text


def test_sidecars_that_say_nothing(tmp_path):
    other, empty = tmp_path / "other.xml", tmp_path / "empty.mdoc"
    other.write_text("<Something><pixelSize>3</pixelSize></Something>")
    empty.touch()
    assert read_sidecar(other, Path("movie.tif")) is None
    with pytest.raises(SidecarUnreadableError):
        read_sidecar(empty, Path("movie.tif"))
    with pytest.raises(SidecarUnreadableError):
        read_sidecar(tmp_path / "missing.mdoc", Path("movie.tif"))


def test_an_mdoc_with_frames_of_unequal_dose(tmp_path):
    write_mdoc(tmp_path / "a.mdoc", FrameDosesAndNumber="0.5 2 1.0 3", ExposureDose=4.0, NumSubFrames=5)
    sidecar = read_sidecar(tmp_path / "a.mdoc", Path("a.tif"))
    assert sidecar.dose_per_frame_e_per_a2 is None
    assert sidecar.frame_doses_e_per_a2 == (0.5, 0.5, 1.0, 1.0, 1.0)
    assert (sidecar.total_dose_e_per_a2, sidecar.frame_count) == (4.0, 5)


@pytest.mark.parametrize("text", ["0.5 2 1.0", "x 3", "-1 3", "0 5", "1 1e9"])
def test_doses_that_make_no_sense_are_left_alone(tmp_path, text):
    write_mdoc(tmp_path / "a.mdoc", FrameDosesAndNumber=text, ExposureDose=4.0)
    sidecar = read_sidecar(tmp_path / "a.mdoc", Path("a.tif"))
    assert sidecar.frame_doses_e_per_a2 is None
    assert sidecar.total_dose_e_per_a2 == 4.0


def test_a_missing_value_names_the_sidecar_that_could_not_be_used(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0" encoding="utf-8"?><MicroscopeImage>')
    movie, unusable = write_movie(tmp_path / "a_fractions.tiff", pixel_size_angstrom=0.9), []
    sidecars = read_sidecars(movie, unusable.append)
    known = resolve_acquisition(movie, sidecars=sidecars)
    with pytest.raises(AcquisitionUnknown, match=r"are not known: .*a\.xml: no element found"):
        require_known(known, None, dose_weighting=True, unusable=unusable)


def test_optics_that_nobody_gave_are_named_with_their_options():
    both = Acquisition(cs_mm=2.7, amplitude_contrast=0.1, sources={"cs_mm": "default", "amplitude_contrast": "default"})
    assert "Cs 2.7 mm and amplitude contrast 0.1, which nobody gave: give --cs and --amp" in assumed_optics(both)
    one = replace(both, sources={"cs_mm": "flag", "amplitude_contrast": "default"})
    assert "Cs" not in assumed_optics(one)
    assert assumed_optics(replace(both, sources=dict.fromkeys(both.sources, "configuration"))) == ""
