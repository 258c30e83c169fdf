"""Values that cannot be true are refused or left out, sources that differ are named, and counts are compared."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.errors import AcquisitionConflict, AcquisitionImplausible
from preprocess.exposure.acquisition import Acquisition, resolve_acquisition
from preprocess.movies import open_movie
from preprocess.pipeline.preparing import prepare_movie
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

HEIGHT, WIDTH, FRAMES = 64, 96, 8
TILT_SERIES = """ImageFile = ts.mrc
ImageSize = {width} {height}
Voltage = {voltage}

[T = SerialEM: x]

[ZValue = 0]
TiltAngle = 57
PixelSpacing = {pixel_size}
ExposureDose = {total}
PriorRecordDose = {prior}
SubFramePath = D:\\fr\\m.mrc
NumSubFrames = {frames}
FrameDosesAndNumber = {frame_dose} {frames}
"""
USUAL = {
    "height": HEIGHT, "width": WIDTH, "voltage": 300, "pixel_size": 1.5, "total": 3.2, "prior": 96, "frames": FRAMES,
    "frame_dose": 0.4,
}  # fmt: skip


@pytest.fixture(name="movie")
def _movie(tmp_path):
    write_mrc(tmp_path / "m.mrc", [np.ones((HEIGHT, WIDTH), np.uint8)] * FRAMES, frame_count=FRAMES)
    return open_movie(tmp_path / "m.mrc")


def write_mdoc(movie, **values):
    movie.path.with_name("m.mrc.mdoc").write_text(TILT_SERIES.format(**(USUAL | values)))


def write_xml(movie, **replaced):
    settings = {"pixel_size_angstrom": 1.5, "voltage_kv": 300.0, "dose_per_frame_e_per_a2": 0.4}
    simulated = simulate_movie(SimulationSettings(height=HEIGHT, width=WIDTH, frame_count=FRAMES, **settings))
    simulated.write_epu_xml(movie.path.with_name("m.xml"))
    text = movie.path.with_name("m.xml").read_text()
    for old, new in replaced.values():
        assert old in text
        text = text.replace(old, new)
    movie.path.with_name("m.xml").write_text(text)


def resolved(movie, **said):
    found = []
    known = resolve_acquisition(movie, warn=found.append, **said)
    return known, {warning.code: warning.text for warning in found}


def test_a_usual_mdoc_says_the_dose_before_the_first_frame_too(movie):
    write_mdoc(movie)
    known, warnings = resolved(movie)
    assert (known.pixel_size_angstrom, known.pre_exposure_e_per_a2, known.dose_per_frame_e_per_a2) == (1.5, 96.0, 0.4)
    assert known.sources["pre_exposure_e_per_a2"] == "mdoc"
    assert warnings == {}


@pytest.mark.parametrize(
    ("height", "width", "pixel_size"),
    [
        (HEIGHT // 2, WIDTH // 2, 0.75),
        (WIDTH // 4, HEIGHT // 4, 0.375),
        (HEIGHT * 2, WIDTH * 2, 3.0),
        (63, 95, 1.5),
        (0, 0, 1.5),
    ],
)
def test_the_pixel_size_is_that_of_the_mdocs_image(movie, height, width, pixel_size):
    write_mdoc(movie, height=height, width=width)
    assert resolved(movie)[0].pixel_size_angstrom == pytest.approx(pixel_size)


def test_an_mdoc_of_another_image_is_refused(movie):
    write_mdoc(movie, height=50)
    with pytest.raises(AcquisitionConflict, match="50 x 96 px"):
        resolved(movie)


def test_images_that_serialem_binned_and_cropped_belong_to_their_frames(tmp_path):
    write_mrc(tmp_path / "m.mrc", [np.zeros((3710, 3838), np.uint8)], frame_count=1, mode=101)
    movie = open_movie(tmp_path / "m.mrc")
    write_mdoc(movie, width=924, height=958, pixel_size=5.4, frames=1)
    assert resolved(movie)[0].pixel_size_angstrom == pytest.approx(1.35)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("pixel_size_angstrom", 0.05, "--pixel-size"),
        ("pixel_size_angstrom", 83.0, "--pixel-size"),
        ("voltage_kv", 3.0, "--voltage"),
        ("dose_per_frame_e_per_a2", 4e3, "--dose-per-frame"),
        ("total_dose_e_per_a2", 4e21, "--total-dose"),
    ],
)
def test_what_the_user_says_and_cannot_be_is_refused(movie, field, value, told):
    for said in ("flags", "configured"):
        with pytest.raises(AcquisitionImplausible, match="cannot be true") as refused:
            resolved(movie, **{said: Acquisition(**{field: value})})
        assert told in refused.value.hint


@pytest.mark.parametrize("value", [1.5e-10, 150])
def test_what_an_mdoc_says_and_cannot_be_is_left_out(movie, value):
    write_mdoc(movie, pixel_size=value)
    known, warnings = resolved(movie)
    assert known.pixel_size_angstrom is None
    assert "the pixel size is" in warnings["implausible-value"]
    assert resolved(movie, flags=Acquisition(pixel_size_angstrom=1.5))[1] == {}


def test_volts_are_no_kilovolts(movie):
    known, warnings = resolved(movie, flags=Acquisition(voltage_kv=300000.0))
    assert (known.voltage_kv, known.sources["voltage_kv"]) == (300.0, "flag")
    assert "300 kV is used" in warnings["voltage-unit"]
    write_mdoc(movie, voltage=200000)
    assert resolved(movie)[0].voltage_kv == 200.0


def test_kilovolts_of_epu_are_no_volts(movie):
    write_xml(movie, voltage=(">300000<", ">300<"))
    known, warnings = resolved(movie)
    assert known.voltage_kv == 300.0
    assert "voltage-unit" in warnings


def test_sidecars_that_differ_are_named(movie):
    write_xml(movie)
    write_mdoc(movie)
    assert resolved(movie)[1] == {}
    write_mdoc(movie, voltage=200)
    assert "the voltage is 300 kV by its epu-xml and 200 kV by its mdoc" in resolved(movie)[1]["sources-differ"]
    write_mdoc(movie, frame_dose=4.0, total=32)
    known, warnings = resolved(movie)
    assert known.dose_per_frame_e_per_a2 == pytest.approx(0.4)
    assert "0.4 e/Å² by its epu-xml and 4 e/Å² by its mdoc" in warnings["sources-differ"]


def test_an_mdoc_whose_doses_differ_is_named(movie):
    write_mdoc(movie, total=320)
    known, warnings = resolved(movie)
    assert known.dose_per_frame_e_per_a2 == 0.4
    assert "contradicts itself" in warnings["sources-differ"]


@pytest.mark.parametrize(("named", "dose"), [(40, 1.0), (4, 5.0)])
def test_frames_are_counted_and_a_total_dose_is_that_of_all_recorded(movie, named, dose):
    write_mdoc(movie, frames=named, frame_dose=0, total=40)
    known, warnings = resolved(movie)
    assert f"names {named} frames, but the movie has {FRAMES}" in warnings["frame-count-differs"]
    assert known.dose_per_frame_e_per_a2 == pytest.approx(dose)
    assert known.total_dose_e_per_a2 == pytest.approx(FRAMES * dose)


def test_warnings_come_with_the_movie(movie, tmp_path):
    write_mdoc(movie, frames=40, total=16)
    movie.path.with_name("m.xml").write_text("<MicroscopeImage><cut")
    prepared = prepare_movie(
        movie.path, tmp_path / "out", AlignmentSettings(device="cpu"), Acquisition(), Acquisition()
    )
    assert [warning.code for warning in prepared.warnings] == ["sidecar-unusable", "frame-count-differs"]
    assert prepared.dose.after_frame[0] == pytest.approx(96.4)
