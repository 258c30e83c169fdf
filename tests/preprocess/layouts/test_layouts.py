"""Which files are movies, by the names that microscopes give."""

from __future__ import annotations

import pytest

from preprocess.layouts import A_REFERENCE, LAYOUTS
from preprocess.layouts.patterns import EXCLUDED, NOT_CHOSEN

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
LEGINON = "17nov06a_00001gr_00005sq_v01_00002hl_00003en"
OF_PROGRAMS = {  # name: whether it is a movie, and whose rules say it
    f"{K3}_fractions.tiff": (True, "epu"),
    f"{FALCON}_EER.eer": (True, "epu"),
    "SearchMap_1_20250715_012434.mrc": (False, "epu"),
    "Overview_20250715_012434.mrc": (False, "epu"),
    "Position_1_2_003_6.0_20250715_012434_EER.eer": (True, "epu-tomo"),
    "Position_1_001_0.0_20250715_012434_fractions.tiff": (True, "epu-tomo"),
    "Position_1_2_002_3.0_20250715_012434_Fractions.mrc": (True, "epu-tomo"),
    "Position_1_001_14.00_20260213_171849_fractions.tiff": (True, "epu-tomo"),
    "name1_004_-9.0_20250715_012434_fractions.tiff": (True, "epu-tomo"),
    "name1_004_-9.0_20250715_012434.mrc": (False, ""),  # the sum of the movie above
    "Position_1_001[10.00]_EER.eer": (True, "epu-tomo"),
    "Position_1_001_[30.0]_20250715_012434_fractions.tiff": (True, "epu-tomo"),
    "Position_1_001[30.00]-847511.mrc": (True, "epu-tomo"),
    "Position_1_[30.0].tiff": (True, "epu-tomo"),
    "Position_1.mrc": (False, "epu-tomo"),
    "Position_1_2_003_6.0_20250715_012434_EER.mrc": (False, "epu-tomo"),
    f"{LEGINON}.frames.tif": (True, "leginon"),
    f"{LEGINON}.frames.mrc": (True, "leginon"),
    f"{LEGINON}.frames.eer": (True, "leginon"),
    "mysession_00011enn.frames.mrcs": (True, "leginon"),
    "19apr02d_grid7_00027gr_00018sq_v02_00003hl_v01_00011en.frames.tif": (True, "leginon"),
    f"{LEGINON}.mrc": (False, "leginon"),
    f"{LEGINON}-a.mrc": (False, "leginon"),
    f"{LEGINON}-DW.mrc": (False, "leginon"),
    f"{LEGINON}-a-DW.mrc": (False, "leginon"),
    "17nov06a_00001gr.mrc": (False, "leginon"),
    "17nov06a_00001gr_00005sq.mrc": (False, "leginon"),
    "14sep05c_25144733_06_7420x7676_norm_1.mrc": (False, "leginon"),
    "14sep05c_25144733_06_7420x7676_dark_0.mrc": (False, "leginon"),
    f"{SERIALEM}.tif": (True, "serialem"),
    "mx2214_00005.tif": (True, ""),
    "TS_01_000_0.0.mrc": (True, ""),
    "movie_17.eer": (True, ""),
}


@pytest.mark.parametrize(("name", "is_movie"), FOLDER.items())
def test_auto_tells_movies_from_what_lies_beside_them(name: str, is_movie: bool) -> None:
    assert LAYOUTS["auto"].recognise(name, set(FOLDER)).is_movie == is_movie


def test_other_layouts_have_their_own_rules() -> None:
    assert not LAYOUTS["epu"].recognise("plain.mrc", {"plain.mrc"}).is_movie
    assert LAYOUTS["flat"].recognise("plain.mrc", {"plain.mrc", "plain.tif"}).is_movie
    assert not LAYOUTS["serialem"].recognise("LMM.mrc", {"LMM.mrc"}).is_movie
    assert LAYOUTS["serialem"].recognise("a.mrc", {"a.mrc", "a.mrc.mdoc"}).is_movie


@pytest.mark.parametrize(("name", "known"), OF_PROGRAMS.items())
def test_auto_recognises_whose_name_it_is(name: str, known: tuple[bool, str]) -> None:
    siblings = {*OF_PROGRAMS, f"{SERIALEM}.tif.mdoc"}
    auto = LAYOUTS["auto"]
    assert (auto.recognise(name, siblings).is_movie, auto.program_of(name, siblings)) == known
    if known[1]:
        own = LAYOUTS[known[1]]
        assert (own.recognise(name, siblings).is_movie, own.program_of(name, siblings)) == known


def test_the_leginon_layout_takes_frames_of_any_session() -> None:
    assert not LAYOUTS["leginon"].recognise("mysession_00011enn.mrc", set()).is_movie
    assert LAYOUTS["leginon"].recognise("mysession_00011enn.frames.mrc", set()).is_movie


@pytest.mark.parametrize(
    ("folder", "name", "reason"),
    [
        ("", "a_frames.tif", ""),
        ("", "A_FRAMES.TIF", ""),
        ("day 1", "a_frames.tif", ""),
        ("", "a.tif", NOT_CHOSEN),
        ("keep/x", "a.tif", ""),
        ("tests/x", "a_frames.tif", EXCLUDED),
        ("", "bad_frames.tif", EXCLUDED),
        ("", "a_frames.txt", "not a movie's extension"),
        ("", "a_frames_gain.tif", A_REFERENCE),
    ],
)
def test_patterns_choose_movies(folder: str, name: str, reason: str) -> None:
    chosen = LAYOUTS["flat"].choosing(["*_frames*.tif", "keep/*"], ["bad*", "tests/*"])
    assert chosen.recognise(name, {name}, folder).not_a_movie == reason
    assert LAYOUTS["flat"].choosing([], []) is LAYOUTS["flat"]


def test_the_label_is_the_stem() -> None:
    assert LAYOUTS["auto"].label(f"a/b/{K3}_fractions.tiff") == f"{K3}_fractions"
