"""Which files are movies, by the names that microscopes give."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.layouts import LAYOUTS

K3 = "FoilHole_25598436_Data_25597084_25597086_20210625_171939"
FALCON = "FoilHole_9015889_Data_9013463_19_20250108_154725"
SERIALEM = "1015B_g1_0000_Dec23_13.20.21"
FOLDER = {
    f"{K3}_fractions.tiff": True,
    f"{K3}_gain.tiff": False,
    f"{K3}.mrc": False,
    f"{K3}.jpg": False,
    f"{K3}.xml": False,
    f"{FALCON}_EER.eer": True,
    f"{FALCON}_EER.mrc": False,
    f"{FALCON}_Fractions.mrc": True,
    f"{FALCON}.mrcs": True,
    "FoilHole_9015889_20250108_154715.mrc": False,
    "GridSquare_20250108_151151.mrc": False,
    "Position_1_2_003_6.0_20250715_012434_EER.eer": True,
    f"{FALCON}_EER.eer.downloading": False,
    f"{FALCON}_downloading.eer": False,
    ".hidden.tiff": False,
    "x.tif.tmp": False,
    "20250108_EER_GainReference.gain": False,
    f"{SERIALEM}.tif": True,
    f"{SERIALEM}.tif.mdoc": False,
    f"{SERIALEM}.mrc": False,
    "CountRef_mx2214_00005.mrc": False,
    "SuperRef_mx2214_00005.mrc": False,
    "17nov06a_00001gr_00005sq_v01_00002hl_00003en.frames.TIF": True,
    "gain.mrc": False,
    "gain_512x512.mrc": False,
    "again_1.mrc": True,
    "movie.EER": True,
    "notes.txt": False,
}


@pytest.mark.parametrize(("name", "is_movie"), FOLDER.items())
def test_auto_tells_movies_from_what_lies_beside_them(name: str, is_movie: bool) -> None:
    assert LAYOUTS["auto"].recognise(name, set(FOLDER)).is_movie == is_movie


def test_other_layouts_have_their_own_rules() -> None:
    assert not LAYOUTS["epu"].recognise("plain.mrc", {"plain.mrc"}).is_movie
    assert LAYOUTS["flat"].recognise("plain.mrc", {"plain.mrc", "plain.tif"}).is_movie
    assert not LAYOUTS["serialem"].recognise("LMM.mrc", {"LMM.mrc"}).is_movie
    assert LAYOUTS["serialem"].recognise("a.mrc", {"a.mrc", "a.mrc.mdoc"}).is_movie


def test_the_label_is_the_stem() -> None:
    assert LAYOUTS["auto"].label(f"a/b/{K3}_fractions.tiff") == f"{K3}_fractions"


def test_gain_references_that_lie_with_the_movie_are_found(tmp_path: Path) -> None:
    data = tmp_path / "Images-Disc1/GridSquare_1/Data"
    data.mkdir(parents=True)
    (data / f"{K3}_gain.tiff").touch()
    (tmp_path / "session.gain").touch()
    (tmp_path / "CountRef_s.mrc").touch()
    (tmp_path / "named.mrc").touch()
    (tmp_path / "t.tif.mdoc").write_text("[T = x]\nGainReference = C:\\frames\\named.mrc\n")
    auto = LAYOUTS["auto"]
    assert auto.gain(data / f"{K3}_fractions.tiff", tmp_path) == data / f"{K3}_gain.tiff"
    assert auto.gain(data / f"{FALCON}_EER.eer", tmp_path) == tmp_path / "session.gain"
    assert auto.gain(data / f"{FALCON}_fractions.mrc", tmp_path) is None
    assert auto.gain(tmp_path / "s.tif", tmp_path) == tmp_path / "CountRef_s.mrc"
    assert auto.gain(tmp_path / "t.tif", tmp_path) == tmp_path / "named.mrc"
    (tmp_path / "second.gain").touch()
    assert auto.gain(data / f"{FALCON}_EER.eer", tmp_path) is None
