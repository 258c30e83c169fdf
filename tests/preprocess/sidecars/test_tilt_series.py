"""The movies of a tilt series: which series, which angle, and what the specimen received before."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from preprocess.exposure.acquisition import Acquisition, resolve_acquisition
from preprocess.movies import open_movie
from preprocess.sidecars import Sidecar, content_about, find_sidecars, is_shared, read_sidecar, recording_by_name
from preprocess.simulation import write_mrc

TITLE = "[T =     Tilt axis angle = 85.3, binning = 4  spot = 8  camera = 2 dosym = 0.0]\n"
ANGLES = (0.0, 3.0, -3.0, -6.0, 6.0)


def series(
    count: int,
    *,
    title: str = TITLE,
    doses: tuple[float, ...] = (2.0, 2.0, 2.0, 4.0, 4.0),
    times_s: tuple[float, ...] = (1.0,) * 5,
    order: tuple[int, ...] = (0, 1, 2, 3, 4),
    dated: bool = True,
) -> str:
    text = f"PixelSpacing = 5.4\nImageFile = TS_01.mrc\nImageSize = 2 2\n\n{title}\n"
    for place, tilt in enumerate(order[:count]):
        text += (
            f"[ZValue = {place}]\nTiltAngle = {ANGLES[tilt]}\nStagePosition = 20.8 155.3\n"
            f"ExposureDose = {doses[tilt]}\n"
            f"ExposureTime = {times_s[tilt]}\nSubFramePath = D:\\frames\\TS_01_{tilt:03d}_{ANGLES[tilt]}.mrc\n"
        )
        text += f"DateTime = 30-Nov-15  15:2{tilt}:38\n" if dated else ""
    return text


def movie(folder: Path, tilt: int) -> Path:
    return folder / f"TS_01_{tilt:03d}_{ANGLES[tilt]}.mrc"


def read(folder: Path, tilt: int, text: str) -> Sidecar:
    (folder / "TS_01.mrc.mdoc").write_text(text)
    sidecar = read_sidecar(folder / "TS_01.mrc.mdoc", movie(folder, tilt))
    assert sidecar is not None
    return sidecar


def test_what_a_series_says_about_a_tilt(tmp_path: Path) -> None:
    said = read(tmp_path, 3, series(5))
    assert (said.recording.tilt_series, said.recording.tilt_angle_degrees) == ("TS_01", -6.0)
    assert said.recording.tilt_axis_degrees == 85.3
    assert said.recording.shutter_time == datetime(2015, 11, 30, 15, 23, 38)
    assert (said.total_dose_e_per_a2, said.prior_exposures) == (4.0, 1.5)


@pytest.mark.parametrize(
    ("changes", "prior"),
    [
        ({}, [0, 1, 2, 1.5, 2.5]),
        ({"doses": (0.0,) * 5}, [0, 1, 2, 3, 4]),
        ({"doses": (0.0,) * 5, "times_s": (1, 1, 1, 2, 2)}, [0, 1, 2, 1.5, 2.5]),
        ({"doses": (2.0, 0.0, 2.0, 2.0, 2.0), "times_s": (0,) * 5}, [0, 1, 2, 3, 4]),
        ({"order": (3, 2, 0, 1, 4)}, [0, 1, 2, 1.5, 2.5]),  # sorted by angle afterwards: the times tell
        ({"order": (3, 2, 0, 1, 4), "dated": False, "doses": (2.0,) * 5}, [2, 3, 1, 0, 4]),
    ],
    ids=["doses", "number", "times", "one dose missing", "sorted by angle", "order of sections"],
)
def test_the_dose_before_a_tilt(tmp_path: Path, changes: dict[str, tuple[float, ...]], prior: list[float]) -> None:
    text = series(5, **changes)  # type: ignore[arg-type]
    assert [read(tmp_path, tilt, text).prior_exposures for tilt in range(5)] == prior


@pytest.mark.parametrize("title", ["", TITLE.replace("dosym = 0.0", "")])
def test_sums_of_single_particle_exposures_are_no_series(tmp_path: Path, title: str) -> None:
    flat = (
        series(5, title=title).replace("= 3.0\n", "= 0.1\n").replace("= -3.0\n", "= 0.1\n").replace("6.0\nS", "0.1\nS")
    )
    flat = flat.replace("TiltAngle = -0.1", "TiltAngle = 0.1")
    assert read(tmp_path, 1, flat).recording.tilt_series is None
    elsewhere = series(5, title=title).replace("20.8 155.3", "-400 155.3", 1)
    assert read(tmp_path, 1, elsewhere).recording.tilt_series is None
    assert read(tmp_path, 1, series(5, title=title)).recording.tilt_series == "TS_01"
    assert read(tmp_path, 0, series(1, title=title)).recording.tilt_series is None, "not known before the second"


def test_frames_recorded_while_the_stage_tilts_are_one_exposure(tmp_path: Path) -> None:
    text = "[FrameSet = 0]\nTiltAngle = 0\nSubFramePath = D:\\TS_01_000_0.0.mrc\n"
    text += "".join(f"[ZValue = {n}]\nTiltAngle = {n * 9}\n" for n in range(5))
    assert read(tmp_path, 0, text).recording.tilt_series is None


@pytest.mark.parametrize("name", ["TS_01.mrc.mdoc", "TS_01.mdoc", "TS_01.st.mdoc"])
@pytest.mark.parametrize("frames", ["", "frames"])
def test_the_mdoc_of_the_series_is_found(tmp_path: Path, name: str, frames: str) -> None:
    (tmp_path / frames).mkdir(exist_ok=True)
    tilts = [movie(tmp_path / frames, tilt) for tilt in range(5)]
    (tmp_path / name).write_text(series(3))
    (tmp_path / "TS.mdoc").write_text("[ZValue = 0]\nSubFramePath = D:\\other.mrc\n")
    assert [find_sidecars(tilt) for tilt in tilts] == [[tmp_path / name]] * 3 + [[], []]
    own = tilts[0].with_name(f"{tilts[0].name}.mdoc")
    own.write_text("[FrameSet = 0]\nPixelSpacing = 1.35\n")
    assert find_sidecars(tilts[0]) == [own, tmp_path / name]
    assert (is_shared(own, tilts[0]), is_shared(tmp_path / name, tilts[0])) == (False, True)


@pytest.mark.parametrize("above", [False, True])
def test_a_movie_named_from_its_own_folder(tmp_path: Path, above: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frames").mkdir()
    mdoc = (tmp_path if above else tmp_path / "frames") / "TS_01.mdoc"
    mdoc.write_text(series(3))
    monkeypatch.chdir(tmp_path / "frames")
    (found,) = find_sidecars(movie(Path(), 0))
    assert found.absolute() == mdoc
    assert is_shared(found, movie(Path(), 0))
    assert content_about(found, movie(Path(), 0)) is not None
    assert find_sidecars(Path("/a_b_c.tif")) == []


def test_an_unreadable_mdoc_of_a_series_is_none(tmp_path: Path) -> None:
    (tmp_path / "TS_01.mdoc").write_bytes(b"[ZValue\0 = 0]\nSub")
    assert find_sidecars(movie(tmp_path, 0)) == []


def test_what_a_growing_series_says_about_one_tilt_stays(tmp_path: Path) -> None:
    path = tmp_path / "TS_01.mdoc"
    said = []
    for count in range(1, 6):
        path.write_text(series(count))
        said.append(content_about(path, movie(tmp_path, 2)))
    assert said[:2] == [None, None]
    assert len(set(said[2:])) == 1
    path.write_text(series(5, doses=(2.0, 2.0, 9.0, 4.0, 4.0)))
    assert content_about(path, movie(tmp_path, 2)) not in said


@pytest.mark.parametrize(
    ("name", "series_name", "angle", "time"),
    [
        ("Position_1_2_003_6.0_20250715_012434_EER.eer", "Position_1_2", 6.0, datetime(2025, 7, 15, 1, 24, 34)),
        ("name1_004_-9.00_20250715_012434_fractions.tiff", "name1", -9.0, datetime(2025, 7, 15, 1, 24, 34)),
        ("Position_1_001[10.00]_EER.eer", "Position_1", 10.0, None),
        ("Position_1_001_[-30.0]_20250715_012434_fractions.tiff", "Position_1", -30.0, None),
        ("s_mmm_00993_33.0_Oct08_07.39.05.tif", None, None, None),
        ("mic_0001_1.5.tif", None, None, None),
        ("FoilHole_9015889_Data_9013463_19_20250108_154725_EER.eer", None, None, None),
    ],
)
def test_names_of_tilts(name: str, series_name: str | None, angle: float | None, time: datetime | None) -> None:
    said = recording_by_name(Path(name))
    assert (said.tilt_series, said.tilt_angle_degrees, said.shutter_time) == (series_name, angle, time)


def put_movie(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_mrc(path, [np.ones((8, 8), np.uint8)] * 4, frame_count=4, mode=0)
    return path


def test_a_tilt_is_weighted_with_the_dose_before_it(tmp_path: Path) -> None:
    (tmp_path / "TS_01.mdoc").write_text(series(5))
    tilt = open_movie(put_movie(movie(tmp_path / "frames", 3)))
    known = resolve_acquisition(tilt)
    assert known.pixel_size_angstrom == pytest.approx(5.4 / 4), "of the sums, which have 2 x 2 px"
    assert (known.dose_per_frame_e_per_a2, known.pre_exposure_e_per_a2) == (1.0, 6.0)
    assert known.sources["pre_exposure_e_per_a2"] == "mdoc"
    corrected = resolve_acquisition(tilt, flags=Acquisition(dose_per_frame_e_per_a2=0.5))
    assert corrected.pre_exposure_e_per_a2 == 3.0, "the user says that all doses are half of it"
    assert resolve_acquisition(tilt, flags=Acquisition(pre_exposure_e_per_a2=9.0)).pre_exposure_e_per_a2 == 9.0


def test_serialem_s_own_count_of_the_dose_wins_over_the_sum(tmp_path: Path) -> None:
    text = series(5).replace("ExposureDose = 4.0\n", "ExposureDose = 4.0\nPriorRecordDose = 6.5\n")
    (tmp_path / "TS_01.mdoc").write_text(text)
    assert resolve_acquisition(open_movie(put_movie(movie(tmp_path, 3)))).pre_exposure_e_per_a2 == 6.5
    (tmp_path / "TS_01.mdoc").write_text(text.replace("6.5", "0"))
    assert resolve_acquisition(open_movie(put_movie(movie(tmp_path, 3)))).pre_exposure_e_per_a2 == 6.0, "nobody counted"


def test_the_frames_own_pixel_size_wins_over_that_of_the_sums(tmp_path: Path) -> None:
    (tmp_path / "TS_01.mdoc").write_text(series(5).replace("ImageSize = 2 2", "ImageSize = 3 5"))
    tilt = put_movie(movie(tmp_path, 3))
    tilt.with_name(f"{tilt.name}.mdoc").write_text("[FrameSet = 0]\nPixelSpacing = 1.35\nTiltAngle = -6\n")
    assert resolve_acquisition(open_movie(tilt)).pixel_size_angstrom == 1.35


def test_without_an_mdoc_the_number_of_a_tilt_tells_and_it_is_said(tmp_path: Path) -> None:
    warnings = []
    flags = Acquisition(dose_per_frame_e_per_a2=1.0)
    for number, expected in ((1, 0.0), (3, 8.0)):
        tilt = put_movie(tmp_path / f"Position_1_{number:03d}_6.0_20250715_012434_fractions.mrc")
        known = resolve_acquisition(open_movie(tilt), flags=flags, warn=warnings.append)
        assert (known.pre_exposure_e_per_a2, known.sources["pre_exposure_e_per_a2"]) == (expected, "name")
    (warning,) = [each for each in warnings if each.code == "prior-dose-assumed"]
    assert "2 exposures like this one, 8 e/Å²" in warning.text
