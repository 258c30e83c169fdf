"""Files of known defects: RELION's text, SerialEM's, maps; what is refused; what the movie itself tells."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import tifffile

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.correction.defect_files import is_serialem, load_defects
from preprocess.correction.defects import find_defects
from preprocess.errors import DefectMismatch, UnsupportedFormat
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, DefectSettings
from preprocess.simulation import write_mrc, write_tiff

SHAPE = (48, 64)
EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)


def written(folder: Path, text: str) -> Path:
    path = folder / "defects.txt"
    path.write_text(text)
    return path


def test_relion_s_text(tmp_path):
    mask = load_defects(written(tmp_path, "# x y w h\n3 4 2 1\n\n60 0 4 48  # the right edge\n"), SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[4, 3:5] = True
    expected[:, 60:] = True
    np.testing.assert_array_equal(mask, expected)


SERIALEM = """CameraSizeX {width}
CameraSizeY {height}
RotationAndFlip 0
WasScaled 0
K2Type 1
UsableArea 1 0 0 62
BadColumns 10 11
BadRows 20
PartialBadColumn 30 2 5 9
PartialBadRow 40 1 33 35
BadPixels 50 2 51 3
"""


def serialem_s_defects() -> np.ndarray:
    """In SerialEM's own orientation, row 0 at the top."""
    expected = np.zeros(SHAPE, bool)
    expected[0] = expected[20] = True
    expected[:, [10, 11, 63]] = True
    expected[5:10, 30:32] = True
    expected[40, 33:36] = True
    expected[2, 50] = expected[3, 51] = True
    return expected


def test_serialem_s_text_is_upside_down_and_scaled(tmp_path):
    path = written(tmp_path, SERIALEM.format(width=64, height=48))
    assert is_serialem(path)
    expected = serialem_s_defects()
    np.testing.assert_array_equal(load_defects(path, SHAPE), expected[::-1])
    doubled = np.kron(expected, np.ones((2, 2), bool))
    np.testing.assert_array_equal(load_defects(path, (96, 128)), doubled[::-1])
    halved = expected.reshape(24, 2, 32, 2).any((1, 3))
    np.testing.assert_array_equal(load_defects(path, (24, 32)), halved[::-1])


@pytest.mark.parametrize("name", ["map.mrc", "map.tif"])
def test_maps_lie_as_movies_do(tmp_path, name):
    image = np.zeros(SHAPE, np.uint8)
    image[1, 2] = 1
    image[47, 63] = 7
    write_mrc(tmp_path / name, [image], frame_count=1, mode=0) if name.endswith("mrc") else tifffile.imwrite(
        tmp_path / name, image[::-1]
    )
    np.testing.assert_array_equal(load_defects(tmp_path / name, SHAPE), image != 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0 0 1\n", "line 1: 3 numbers"),
        ("0 0 1 1\n1 2 3 four\n", "line 2: '1 2 3 four' are not whole numbers"),
        ("63 0 2 1\n", r"line 1: '63 0 2 1' lies outside the movie's 64 x 48 px"),
        ("-1 0 2 1\n", "outside"),
        ("5 5 0 1\n", "outside"),
        ("0 0 64 40\n", "83% of all pixels"),
        ("CameraSizeX 64\nBadRows 3\n", "CameraSizeX and CameraSizeY are missing"),
        ("CameraSizeX 100\nCameraSizeY 100\n", "camera of 100 x 100 px"),
        ("CameraSizeX 64\nCameraSizeY 48\nBadRows 48\n", "line 3: the area lies outside the camera's 64 x 48 px"),
        ("CameraSizeX 64\nCameraSizeY 48\nBadPixels 3\n", "line 3: 1 values are too few"),
        ("CameraSizeX 64\nCameraSizeY 48\nBadHairDay 3\n", "'BadHairDay' is not a keyword of SerialEM's"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, named):
    with pytest.raises(DefectMismatch, match=named):
        load_defects(written(tmp_path, text), SHAPE)


def test_maps_that_do_not_fit(tmp_path):
    write_mrc(tmp_path / "map.mrc", [np.zeros((96, 128), np.uint8)], frame_count=1, mode=0)
    with pytest.raises(DefectMismatch, match="96 x 128 px") as refused:
        load_defects(tmp_path / "map.mrc", SHAPE)
    assert "super-resolution" in refused.value.hint
    with pytest.raises(DefectMismatch, match="No such file"):
        load_defects(tmp_path / "nowhere.txt", SHAPE)
    (tmp_path / "bad.tif").write_text("no TIFF")
    with pytest.raises(DefectMismatch, match="cannot be read"):
        load_defects(tmp_path / "bad.tif", SHAPE)
    with pytest.raises(UnsupportedFormat, match=r"\.txt, \.mrc or \.tif"):
        load_defects(tmp_path / "defects.dm4", SHAPE)


def sum_of(total):
    stack = CpuBackend(2).hold(1, *total.shape, np.dtype(np.float32))
    stack.put(0, np.asarray(total, np.float32))
    return stack.frame_sum()


def test_dead_pixels_are_found_and_dark_areas_are_not():
    random = np.random.default_rng(1)
    expected = np.full((256, 256), 30.0)
    expected[:, :80] = 0.3  # a grid bar, where most pixels count nothing
    total = random.poisson(expected).astype(np.float32)
    dead = [(3, 100), (128, 200), (255, 255)]
    for y, x in dead:
        total[y, x] = 0
    found = find_defects(sum_of(total))
    np.testing.assert_array_equal(found.dead, [y * 256 + x for y, x in dead])
    np.testing.assert_array_equal(find_defects(sum_of(total * 7.3)).dead, found.dead)  # whatever the scale
    assert find_defects(sum_of(total), automatic=False).pixels.size == 0
    faint = random.poisson(5.0, (256, 256)).astype(np.float32)  # where a pixel may well have counted nothing
    assert find_defects(sum_of(faint)).dead.size == 0


def movie_with_defects(path: Path, value: int = 200) -> None:
    """A flat movie, in RELION's orientation, with an area and a pixel that say `value`, and one that says nothing."""
    random = np.random.default_rng(3)
    frames = random.poisson(4, (8, 128, 160)).astype(np.uint8)
    frames[:, 10:14, 20:50] = value
    frames[:, 100, 120] = value
    frames[:, 64, 70] = 0
    write_tiff(path, list(frames)) if path.suffix == ".tiff" else write_mrc(path, list(frames), frame_count=8, mode=0)


@pytest.mark.parametrize("name", ["m.tiff", "m.mrcs"])
def test_defects_leave_no_trace_in_the_micrograph(tmp_path, name):
    movie_with_defects(tmp_path / name)
    settings = AlignmentSettings(
        device="cpu",
        threads=1,
        float32=True,
        dose_weighting=False,
        defects=DefectSettings(path=written(tmp_path, "20 10 30 4\n")),
    )
    result = process_movie(tmp_path / name, tmp_path / "out", settings=settings, acquisition=EXPOSURE)
    image = mrcfile.read(result.file("micrograph"))
    assert image.max() < 70
    assert image.min() > 5
    assert image[10:14, 20:50].mean() == pytest.approx(32, abs=3)
    quality = json.loads(result.file("results").read_text())["quality"]
    assert (quality["hot_pixels"], quality["dead_pixels"], quality["listed_defect_pixels"]) == (1, 1, 120)
    assert quality["defect_pixels"] == 122
    star = starfile.read(result.file("motion_star"))
    assert star["general"]["rlnMicrographDefectFile"] == "defects.txt"
    assert sorted(map(tuple, star["hot_pixels"].to_numpy().tolist())) == [(70, 64), (120, 100)]
    serialem = written(tmp_path, "CameraSizeX 160\nCameraSizeY 128\nPartialBadRow 114 4 20 49\n")
    again = process_movie(
        tmp_path / name,
        tmp_path / "serialem",
        settings=replace(settings, defects=DefectSettings(path=serialem)),
        acquisition=EXPOSURE,
    )
    np.testing.assert_array_equal(mrcfile.read(again.file("micrograph")), image)
    star = starfile.read(again.file("motion_star"))
    assert "rlnMicrographDefectFile" not in star["general"]  # RELION would not read it
    assert len(star["hot_pixels"]) == 122


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="RELION is missing: apt-get install relion")
@pytest.mark.parametrize("movie", ["m.tiff", "m.mrcs"])
@pytest.mark.parametrize("listed", ["defects.txt", "map.mrc", "map.tif"])
def test_relion_finds_the_same_pixels_defective(tmp_path, movie, listed):
    movie_with_defects(tmp_path / movie, value=7)  # which is not hot enough to be found
    written(tmp_path, "20 10 30 4\n120 100 1 1\n")
    mask = load_defects(tmp_path / "defects.txt", (128, 160))
    write_mrc(tmp_path / "map.mrc", [mask.astype(np.uint8)], frame_count=1, mode=0)
    tifffile.imwrite(tmp_path / "map.tif", mask[::-1].astype(np.uint8))
    np.testing.assert_array_equal(load_defects(tmp_path / listed, (128, 160)), mask)
    subprocess.run(
        [
            *("relion_run_motioncorr", "--i", movie, "--o", "relion/", "--use_own", "--j", "1"),
            *("--bfactor", "150", "--angpix", "1.1", "--voltage", "300", "--patch_x", "1", "--patch_y", "1"),
            *("--defect_file", listed),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    settings = AlignmentSettings(
        device="cpu", threads=1, float32=True, dose_weighting=False, defects=DefectSettings(path=tmp_path / listed)
    )
    result = process_movie(tmp_path / movie, tmp_path / "out", settings=settings, acquisition=EXPOSURE)
    for image in (mrcfile.read(result.file("micrograph")), mrcfile.read(tmp_path / "relion" / "m.mrc")):
        assert image[10:14, 20:50].mean() == pytest.approx(32, abs=3)  # 56 with the defects in it
        assert image[114:118, 20:50].mean() == pytest.approx(32, abs=3)
    ours, relion = (starfile.read(path)["general"] for path in (result.file("motion_star"), tmp_path / "relion/m.star"))
    assert ours["rlnMicrographDefectFile"] == relion["rlnMicrographDefectFile"]
