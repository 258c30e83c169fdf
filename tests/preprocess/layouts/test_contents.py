"""SerialEM's maps, sums and previews are told from movies by what stands in them and in their mdoc."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from preprocess.layouts import LAYOUTS
from preprocess.layouts.contents import IMAGES, IMAGES_BY_TITLE, MONTAGE, SINGLE_IMAGE, SUMS, why_no_movie
from preprocess.simulation import write_mrc, write_tiff

REPO = Path(__file__).resolve().parents[3]
REAL_DATA = Path(os.environ.get("CRYOFERRY_TEST_DATA", REPO.parent / "shared" / "data"))
PLUGIN = "SerialEMCCD: Frames . ., scaled by 1.00  r/f 0"
FALCON = "SerialEM: Frame images                                   08-Oct-21  07:39:08"
PROGRAM = "SerialEM: UMass_Krios Camera -> 0:Ceta 1:GIF-K3        08-Oct-21  07:38:24"
FRAMES = "T = SerialEM\nVoltage = 300\n\n[FrameSet = 0]\nSubFramePath = X:\\f\\{name}\nNumSubFrames = 4\n"
CONTINUOUS = FRAMES + "\n[ZValue = 0]\nTiltAngle = 1\n"
ONE = "ImageFile = {name}\n\n[ZValue = 0]\nTiltAngle = 0\nMagnification = 125\n"
MONT = "ImageFile = {name}\nMontage = 1\n\n[ZValue = 0]\nPieceCoordinates = 0 0 0\n\n[MontSection = 0]\n"
TILTS = (
    "ImageFile = {name}\n[T = Tilt axis angle = 85.3]\n\n[ZValue = 0]\nTiltAngle = 0\nSubFramePath = D:\\T_0.0.tif\n"
)
OWN = "[ZValue = 0]\nTiltAngle = 0\nSubFramePath = D:\\frames\\{name}\n"

CASES = [  # name, images in it, title, mdoc, why it is no movie
    ("LMM.mrc", 4, PROGRAM, MONT, MONTAGE),
    ("LMM.mrc", 4, "", MONT, MONTAGE),
    ("MMM_A1.mrc", 9, PROGRAM, MONT, MONTAGE),
    ("MMM_A1.mrc", 9, PROGRAM, "", IMAGES_BY_TITLE),
    ("grid3_fullmont.mrc", 9, PROGRAM, "", IMAGES_BY_TITLE),
    ("TS_01.mrc", 41, PROGRAM, TILTS, SUMS),
    ("TS_01.mrc", 41, "", TILTS, SUMS),
    ("lamella3_ts_001.mrc", 41, PROGRAM, "", IMAGES_BY_TITLE),
    ("lamella3_tgt_001.mrc", 1, PROGRAM, ONE, IMAGES),
    ("lamella3_tgt_001_view.mrc", 1, "", "", SINGLE_IMAGE),
    ("lamella3_ts_001_tempref.mrc", 1, "", "", SINGLE_IMAGE),
    ("template_preview.mrc", 1, "", "", SINGLE_IMAGE),
    ("pos1_preview.tif", 1, "", "", SINGLE_IMAGE),
    ("pos1_preview.tif", 1, "", ONE, IMAGES),
    ("anchor map.mrc", 3, PROGRAM, ONE, IMAGES),
    ("Atlas_1.tif", 1, "", "", ""),  # EPU's names tell by themselves
    ("atlas-2.tif", 1, "", "", SINGLE_IMAGE),
    ("search.mrc", 1, PROGRAM, "[ZValue = 0]\n", IMAGES),
    ("grid1_trial.mrc", 12, PROGRAM, ONE, IMAGES),
    ("1015B_g1_0000_Dec23_13.20.21.tif", 4, "", FRAMES, ""),
    ("LMM_frames_00001.tif", 4, "", FRAMES, ""),
    ("preview_00001.tif", 4, "", FRAMES, ""),
    ("preview_00002.tif", 4, "", "", ""),
    ("view.mrc", 4, FALCON, FRAMES, ""),
    ("TS_01_000_0.0.mrc", 4, PLUGIN, FRAMES, ""),
    ("TS_01_000_0.0.mrc", 4, PLUGIN, "", ""),
    ("TS_01_001_3.0_Oct08_07.39.05.mrc", 4, FALCON, "", ""),
    ("TS_01_002_-3.0.mrc", 4, "", "", ""),
    ("xtal_map.mrc", 4, PLUGIN, CONTINUOUS, ""),
    ("map_7.mrc", 4, PROGRAM, OWN, ""),
    ("map_8.mrc", 4, "", "", ""),
    ("Mar31_14.21.33_map.mrcs", 4, PLUGIN, "T = SerialEM\n", ""),
    ("20211008_073905_pos1.mrc", 1, PLUGIN, "", ""),
    ("renamed.mrc", 4, PROGRAM, "[FrameSet = 0]\nSubFramePath = X:\\old.mrc\n", ""),
    ("renamed_view.tif", 1, "", "[FrameSet = 0]\nSubFramePath = X:\\old.tif\n", ""),
]


def put(path: Path, images: int, title: str, mdoc: str) -> Path:
    content = [np.full((8, 8), 3, np.uint8)] * images
    if path.suffix == ".tif":
        write_tiff(path, content)
    else:
        write_mrc(path, content, frame_count=images, mode=0)
    if title:
        with path.open("r+b") as file:
            file.seek(220)
            file.write(struct.pack("<i", 1) + title.encode().ljust(80))
    if mdoc:
        path.with_name(f"{path.name}.mdoc").write_text(mdoc.format(name=path.name))
    return path


def why(path: Path, layout: str = "auto") -> str:
    names = {each.name for each in path.parent.iterdir()}
    assert LAYOUTS[layout].recognise(path.name, names).is_movie or path.name.startswith("Atlas_")
    doubt = LAYOUTS[layout].doubt(path.name, names)
    return "" if doubt is None else why_no_movie(path, doubt)


@pytest.mark.parametrize(("name", "images", "title", "mdoc", "reason"), CASES)
def test_names_of_serialem(tmp_path: Path, name: str, images: int, title: str, mdoc: str, reason: str) -> None:
    assert why(put(tmp_path / name, images, title, mdoc)) == reason


def test_a_large_stack_of_imagej_behind_one_page_may_be_a_movie(tmp_path: Path) -> None:
    path = put(tmp_path / "view.tif", 1, "", "")
    assert why(path) == SINGLE_IMAGE
    with path.open("ab") as file:
        file.write(bytes(10_000))
    assert why(path) == ""


def test_an_mdoc_of_another_file_says_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "x.mrcs", 4, "", "")
    (tmp_path / "x.mdoc").write_text(TILTS.format(name="x.mrc"))
    assert why(path) == ""
    (tmp_path / "x.mdoc").write_text(TILTS.format(name="x.mrcs"))
    assert why(path) == SUMS


def test_what_is_no_image_stays_a_movie_until_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "LMM.mrc"
    for content in (b"", bytes(100), bytes(1024)):
        path.write_bytes(content)
        assert why(path) == ""
    path.with_name("LMM.mrc.mdoc").write_bytes(b"")
    assert why(path) == ""


@pytest.mark.skipif(not (REAL_DATA / "tilt_series.mdoc").is_file(), reason="needs real sidecars (CRYOFERRY_TEST_DATA)")
def test_real_mdocs(tmp_path: Path) -> None:
    sums, frames = put(tmp_path / "TS_01.mrc", 4, "", ""), put(tmp_path / "s.mrc", 4, "", "")
    sums.with_name("TS_01.mrc.mdoc").write_bytes((REAL_DATA / "tilt_series.mdoc").read_bytes())
    frames.with_name("s.mrc.mdoc").write_bytes((REAL_DATA / "frame_set_single.mdoc").read_bytes())
    assert (why(sums), why(frames)) == (SUMS, "")


def test_flat_and_epu_read_nothing() -> None:
    for layout in ("flat", "epu"):
        assert LAYOUTS[layout].doubt("LMM.mrc", {"LMM.mrc", "LMM.mrc.mdoc"}) is None
