"""Gain references and defects that lie where microscopes and people leave them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from preprocess.gains.finding import FoundReferences, ReferenceFinder
from preprocess.simulation import write_dm4, write_eer, write_gain, write_mrc, write_tiff
from tests.waiting import wait_until

SHAPE = (16, 24)
EPU = "FoilHole_1_Data_2_3_20260101_101010"
EER = "FoilHole_7_Data_2_3_20260108_120000_EER.eer"
K3_MDOC = "[FrameSet = 0]\nGainReference = X:\\frames\\SuperRef_a_Jan01_09.00.00.dm4\n"


def movie(path: Path, shape: tuple[int, int] = SHAPE, dtype: str = "u1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [np.ones(shape, dtype)] * 2
    if path.suffix == ".eer":
        write_eer(path, [np.ones(shape, np.uint8)])
    elif path.suffix == ".mrc":
        write_mrc(path, frames, frame_count=2, mode=0)
    else:
        write_tiff(path, frames)
    return path


def gain(path: Path, shape: tuple[int, int] = SHAPE, value: float = 1.0, at_s: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full(shape, value, np.float32)
    if path.suffix == ".dm4":
        write_dm4(path, image)
    else:
        write_gain(path, image, movie_format="eer" if path.suffix == ".gain" else "tiff")
    if at_s is not None:
        os.utime(path, (at_s, at_s))
    return path


@pytest.fixture(name="find")
def _find(tmp_path):
    return lambda movie: finder_below(tmp_path).find(movie)


def finder_below(root: Path) -> ReferenceFinder:
    return ReferenceFinder(("epu", "serialem"), lambda _movie: root)


def gain_of(found: FoundReferences) -> Path | None:
    return None if found.gain is None else found.gain.settings.path


def test_what_bears_the_movies_name_comes_first(tmp_path, find):
    data = tmp_path / "Images-Disc1/GridSquare_1/Data"
    first = movie(data / f"{EPU}_fractions.tiff")
    gain(tmp_path / "gain.mrc")
    own = gain(data / f"{EPU}_gain.tiff")
    found = find(first)
    assert gain_of(found) == own
    assert found.gain.found_by == "it is named after the movie"


def test_what_bears_another_movies_name_is_not_taken(tmp_path, find):
    other = EPU.replace("Data_2_3", "Data_2_4")
    gain(tmp_path / f"{other}_gain.tiff")
    movie(tmp_path / "b.tif")
    gain(tmp_path / "b_gain.mrc")
    assert find(movie(tmp_path / f"{EPU}_fractions.tiff")) == FoundReferences()


def test_a_file_for_the_whole_session_is_found_above(tmp_path, find):
    first = movie(tmp_path / f"Images-Disc1/GridSquare_1/Data/{EPU}_fractions.tiff")
    session = gain(tmp_path / "K3_20260101_gain.tiff")
    found = find(first)
    assert gain_of(found) == session
    assert found.gain.found_by == f"it is the only one in the folder {tmp_path.name}"


@pytest.mark.parametrize("folder", ["", "gain", "Gain", "References"])
@pytest.mark.parametrize("above", ["", "..", "../.."])
def test_the_file_that_an_mdoc_names_is_found_in_the_usual_places(tmp_path, find, folder, above):
    frames = tmp_path / "session/frames"
    first = movie(frames / "a.tif")
    (frames / "a.tif.mdoc").write_text(K3_MDOC + "RotationAndFlip = 3\n")
    place = gain((frames / above).resolve() / folder / "SuperRef_a_Jan01_09.00.00.dm4")
    found = find(first)
    assert gain_of(found) == place
    assert found.gain.found_by == "its mdoc names it; its mdoc says RotationAndFlip = 3"
    assert (found.gain.settings.rotate_degrees, found.gain.settings.flip) == (270, "none")


def test_upper_and_lower_case_are_the_same_in_windows_names(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    (tmp_path / "a.tif.mdoc").write_text(K3_MDOC)
    copied = gain(tmp_path / "superref_a_jan01_09.00.00.dm4")
    assert gain_of(find(first)) == copied


def test_a_converted_file_stands_for_the_one_that_the_mdoc_names(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    (tmp_path / "a.tif.mdoc").write_text(K3_MDOC)
    converted = gain(tmp_path / "SuperRef_a_Jan01_09.00.00.mrc")
    found = find(first)
    assert gain_of(found) == converted
    assert found.gain.found_by == "its mdoc names it as SuperRef_a_Jan01_09.00.00.dm4"


def test_a_file_that_the_mdoc_names_is_missed_and_no_other_taken(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    (tmp_path / "a.tif.mdoc").write_text(K3_MDOC)
    gain(tmp_path / "SuperRef_b_Jan01_09.00.00.dm4")
    found = find(first)
    assert found.gain is None
    assert found.missing_gain == tmp_path / "SuperRef_a_Jan01_09.00.00.dm4"


def test_of_several_references_size_and_time_decide(tmp_path, find):
    first = movie(tmp_path / "m_0007_Mar05_12.00.00.tif")
    for name, shape in [
        ("CountRef_m_Mar05_08.00.00.dm4", SHAPE),
        ("CountRef_m_Mar05_11.00.00.dm4", SHAPE),
        ("CountRef_m_Mar05_13.00.00.dm4", SHAPE),
        ("SuperRef_m_Mar05_11.30.00.dm4", (2 * SHAPE[0], 2 * SHAPE[1])),
    ]:
        gain(tmp_path / name, shape)
    found = find(first)
    assert gain_of(found) == tmp_path / "CountRef_m_Mar05_11.00.00.dm4"
    assert found.gain.found_by == (
        "the latest of 3 that is not later than the movie, by the times in their names in the folder "
        f"{tmp_path.name}; not of the movie's size: SuperRef_m_Mar05_11.30.00.dm4 has 48 x 32 px"
    )


def test_eer_takes_the_latest_falcon_gain_not_after_the_movie(tmp_path, find):
    first = movie(tmp_path / "Images-Disc1/GridSquare_1/Data" / EER)
    gain(tmp_path / "20260107_080000_EER_GainReference.gain", value=1.1)
    right = gain(tmp_path / "20260108_070000_EER_GainReference.gain", value=1.2)
    gain(tmp_path / "20260109_070000_EER_GainReference.gain", value=1.3)
    gain(tmp_path / "gain.mrc")  # no Falcon's
    assert gain_of(find(first)) == right


def test_the_nearest_folder_wins(tmp_path, find):
    first = movie(tmp_path / "session" / EER)
    gain(tmp_path / "20260108_070000_EER_GainReference.gain")
    near = gain(tmp_path / "session/Gain/20260101_070000_EER_GainReference.gain")
    assert gain_of(find(first)) == near


def test_without_times_in_names_time_stamps_decide(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    os.utime(first, (5000, 5000))
    gain(tmp_path / "gain/a.mrc", value=1.1, at_s=1000)
    right = gain(tmp_path / "gain/b.mrc", value=1.2, at_s=4000)
    gain(tmp_path / "gain/c.mrc", value=1.3, at_s=6000)
    found = find(first)
    assert gain_of(found) == right
    assert "by their time stamps in the folder gain" in found.gain.found_by


def test_later_ones_are_taken_only_if_all_are_later(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    os.utime(first, (500, 500))
    right = gain(tmp_path / "gain/a.mrc", value=1.1, at_s=1000)
    gain(tmp_path / "gain/b.mrc", value=1.2, at_s=4000)
    found = find(first)
    assert gain_of(found) == right
    assert found.gain.found_by.startswith("the earliest of 2, all later than the movie")


def test_between_equal_ones_that_differ_nothing_is_guessed(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    os.utime(first, (5000, 5000))
    gain(tmp_path / "gain_1.mrc", value=1.1, at_s=1000)
    second = gain(tmp_path / "gain_2.mrc", value=1.2, at_s=1001)
    found = find(first)
    assert found.gain is None
    assert found.doubt == (
        "nothing decides between gain references (gain_1.mrc, gain_2.mrc): they have the same time by their time"
        " stamps, and differ"
    )
    second.write_bytes((tmp_path / "gain_1.mrc").read_bytes())
    os.utime(second, (1001, 1001))
    assert gain_of(find(first)) == tmp_path / "gain_1.mrc"


def test_only_references_of_another_size_are_reported(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    gain(tmp_path / "gain.mrc", (8, 8))
    found = find(first)
    assert found.gain is None
    assert found.doubt == "not of the movie's size: gain.mrc has 8 x 8 px"


def test_a_movie_among_gain_references_is_none_of_them(tmp_path, find):
    first = movie(tmp_path / "a.tif")
    movie(tmp_path / "gain/b.tif")
    right = gain(tmp_path / "gain/c.mrc")
    assert gain_of(find(first)) == right


def test_one_that_cannot_be_read_is_taken_if_no_other_fits(tmp_path, find):
    """It may be being written; or the alignment says what is wrong with it."""
    first = movie(tmp_path / "a.tif")
    (tmp_path / "CountRef_x.dm4").write_bytes(b"cut off")
    assert gain_of(find(first)) == tmp_path / "CountRef_x.dm4"
    whole = gain(tmp_path / "CountRef_w.dm4")
    assert gain_of(find(first)) == whole


@pytest.mark.parametrize("extension", ["mrc", "tif", "dm4"])
@pytest.mark.parametrize("copied", [0, 4, 10, 500, -1])
@pytest.mark.parametrize("has_full_size", [False, True])
def test_one_whose_copy_has_begun_holds_no_other_up(tmp_path, find, extension, copied, has_full_size):
    """A copier writes from the front; some give the file its size at once."""
    first = movie(tmp_path / "a.tif")
    whole = gain(tmp_path / f"CountRef_x.{extension}").read_bytes()
    begun = whole[:copied] + b"\0" * (len(whole[copied:]) if has_full_size else 0)
    (tmp_path / f"CountRef_x.{extension}").write_bytes(begun)
    assert gain_of(find(first)) == tmp_path / f"CountRef_x.{extension}"


def test_a_header_of_no_pixels_holds_no_other_up(tmp_path, find):
    first, broken = movie(tmp_path / "a.tif"), gain(tmp_path / "CountRef_x.mrc")
    broken.write_bytes(bytes(8) + broken.read_bytes()[8:])
    whole = gain(tmp_path / "CountRef_y.mrc")
    assert gain_of(find(first)) == whole


def test_a_reference_that_was_written_with_the_movie_is_its_own(tmp_path, find):
    """Whatever the time stamps of copies say."""
    first = movie(tmp_path / "m_2.tif")
    os.utime(first, (5000, 5000))
    gain(tmp_path / "CountRef_m_1.dm4", value=1.1, at_s=4000)
    own = gain(tmp_path / "CountRef_m_2.dm4", value=1.2, at_s=6000)
    assert gain_of(find(first)) == own


def test_corrected_movies_get_nothing_that_does_not_bear_their_name(tmp_path, find):
    gain(tmp_path / "gain.mrc")
    gain(tmp_path / "20260108_070000_EER_GainReference.gain")
    write_mrc(tmp_path / "float.mrc", [np.ones(SHAPE, np.float32)], frame_count=1, mode=2)
    assert find(tmp_path / "float.mrc") == FoundReferences()
    assert find(movie(tmp_path / f"{EPU}_Fractions.mrc")) == FoundReferences()


def test_a_reference_that_comes_is_found_soon(tmp_path):
    first, finder = movie(tmp_path / "a.tif"), finder_below(tmp_path)
    assert finder.find(first) == FoundReferences()
    late = gain(tmp_path / "gain/x.mrc")
    wait_until(lambda: gain_of(finder.find(first)) == late, "it is found")


DEFECTS = "CameraSizeX 24\nCameraSizeY 16\nRotationAndFlip 0\nBadColumns 3\n"


def test_defects_are_found_beside_the_gain_and_by_the_mdoc(tmp_path, find):
    first = movie(tmp_path / "frames/a.tif")
    mdoc = tmp_path / "frames/a.tif.mdoc"
    mdoc.write_text(K3_MDOC)
    gain(tmp_path / "gain/SuperRef_a_Jan01_09.00.00.dm4")
    assert find(first).defects is None
    (tmp_path / "gain/defects_a.txt").write_text(DEFECTS)
    assert find(first).defects == tmp_path / "gain/defects_a.txt"
    (tmp_path / "mine.txt").write_text(DEFECTS)
    mdoc.write_text(K3_MDOC + "DefectFile = D:\\frames\\mine.txt\n")
    assert find(first).defects == tmp_path / "mine.txt"


@pytest.mark.parametrize(
    "text", [DEFECTS.replace("24", "23"), DEFECTS.replace("Flip 0", "Flip 1"), "BadColumns 3\n", "1 2 3 4\n"]
)
def test_defects_of_another_camera_or_orientation_are_not_taken(tmp_path, find, text):
    first = movie(tmp_path / "a.tif")
    (tmp_path / "a.tif.mdoc").write_text(K3_MDOC)
    gain(tmp_path / "SuperRef_a_Jan01_09.00.00.dm4")
    (tmp_path / "defects_a.txt").write_text(text)
    assert find(first).defects is None


def test_without_a_program_nothing_is_looked_for(tmp_path):
    gain(tmp_path / "gain.mrc")
    finder = ReferenceFinder((), lambda _movie: tmp_path)
    assert finder.find(movie(tmp_path / "a.tif")) == FoundReferences()
