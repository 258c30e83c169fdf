"""A finished movie waits for an input that comes after it, if something says that it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agents.finding.movie_inputs import MovieInputs, NamedInputs, find_inputs
from agents.journal.states import State
from preprocess import simulation
from preprocess.layouts import FLAT, LAYOUTS, Layout
from tests.agents.finding.found_movies import XML, Found

Make = Callable[..., Found]
K3, TIFF_OF_K3 = "data/FoilHole_1_Data_2_fractions.tiff", "data/FoilHole_1_Data_2_gain.tiff"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Found] = []

    def make(**options: Layout | float) -> Found:
        made.append(Found(tmp_path, **options))
        return made[-1]

    yield make
    for found in made:
        found.close()


def write_eer(found: Found, name: str) -> None:
    (found.source / name).parent.mkdir(exist_ok=True)
    simulation.write_eer(found.source / name, [np.ones((64, 64), np.uint8)] * 2, hardware_frames_per_frame=1)


def write_falcon_gain(found: Found, side: int = 64) -> None:
    simulation.write_gain(found.source / FALCON, np.ones((side, side), np.float32), movie_format="eer")


def write_tiff(found: Found, name: str) -> None:
    (found.source / name).parent.mkdir(exist_ok=True)
    simulation.write_tiff(found.source / name, [np.ones((8, 8), np.uint8)] * 2)


@pytest.mark.parametrize("name", ["a.mrcs", "data/FoilHole_1_Data_2_fractions.mrc", "s.mrcs"])
@pytest.mark.parametrize("layout", ["auto", "epu", "flat"])
def test_where_nothing_suggests_an_input_no_movie_waits(make: Make, name: str, layout: str) -> None:
    found = make(layout=LAYOUTS[layout])
    found.write(name, 1)
    found.after(10)
    assert found.standing(name) == (State.FINISHED, 1)


def test_the_first_movie_of_epu_waits_for_its_gain_reference(make: Make) -> None:
    found = make()
    write_tiff(found, K3)
    found.after(10)
    assert found.exposure(K3).state == State.FOUND
    assert found.exposure(K3).reason == "waits for its gain reference FoilHole_1_Data_2_gain.tiff"
    write_tiff(found, TIFF_OF_K3)
    found.after(5)
    assert found.exposure(K3).reason.endswith("which is still being written")
    found.after(5)
    assert found.exposure(K3).state == State.FINISHED
    assert found.exposure(K3).reason == ""


def test_a_session_without_an_input_waits_once(make: Make) -> None:
    found = make()
    write_tiff(found, K3)
    found.after(35)
    assert found.exposure(K3).state == State.FOUND
    found.after(5)
    assert found.exposure(K3).state == State.FINISHED
    found.align(K3, State.RELEASED)
    for restart in (False, True):
        if restart:
            found.restart()
        name = f"data/FoilHole_{5 + restart}_Data_2_fractions.tiff"
        write_tiff(found, name)
        found.after(10)
        assert found.exposure(name).state == State.FINISHED


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("kind", "of_one", "of_next", "waits_for"),
    [
        ("xml", "data/a.xml", "data/b.xml", "metadata file"),
        ("mdoc", "data/a.mrcs.mdoc", "data/b.mrcs.mdoc", "metadata file"),
        ("gain", "data/a_gain.mrc", "data/b_gain.mrc", "gain reference"),
    ],
)
def test_what_the_newest_movie_of_a_folder_had_is_waited_for(
    make: Make, restart: bool, kind: str, of_one: str, of_next: str, waits_for: str
) -> None:
    found = make()
    contents = {"xml": XML.format(1), "mdoc": "PixelSpacing = 1.1\n", "gain": 1}
    found.write("data/a.mrcs", 1)
    found.write(of_one, contents[kind])
    found.after(10)
    found.align("data/a.mrcs", State.RELEASED)
    if restart:
        found.restart()
    found.write("data/b.mrcs", 2)
    found.write("elsewhere/c.mrcs", 3)
    found.after(15)
    assert found.exposure("data/b.mrcs").reason == f"waits for its {waits_for}"
    assert found.exposure("elsewhere/c.mrcs").state == State.FOUND  # its folder is new: the session counts
    found.write(of_next, contents[kind])
    found.after(10)
    assert found.exposure("data/b.mrcs").state == State.FINISHED
    found.after(15)
    assert found.exposure("elsewhere/c.mrcs").state == State.FINISHED
    found.write("elsewhere/d.mrcs", 4)
    found.after(10)
    assert found.exposure("elsewhere/d.mrcs").state == State.FINISHED  # its folder has no such inputs


@pytest.mark.parametrize("reference", ["named.mrc", "CountRef_other.tif"])
def test_a_gain_reference_that_the_mdoc_names_is_waited_for(make: Make, reference: str) -> None:
    found = make()
    found.write("a.mrcs", 1)
    found.write("a.mrcs.mdoc", f"PixelSpacing = 1\nGainReference = X:\\frames\\{reference}\n")
    found.after(10)
    assert found.exposure("a.mrcs").reason.startswith(f"waits for its gain reference {reference}; a.mrcs.mdoc names")
    found.write(reference, 1)
    found.after(20)
    assert found.exposure("a.mrcs").state == State.FINISHED


@pytest.mark.parametrize("kind", ["gain", "defects"])
def test_a_file_that_the_user_named_is_waited_for(make: Make, tmp_path: Path, kind: str) -> None:
    found = make(layout=FLAT)
    path = tmp_path / "elsewhere.txt"
    found.named = NamedInputs(**{kind: path})
    found.write("a.mrcs", 1)
    found.after(10)
    assert found.exposure("a.mrcs").reason.startswith("waits for its ")
    assert found.exposure("a.mrcs").reason.endswith(" elsewhere.txt")
    path.write_text("1 2 3 4")
    found.after(15)
    assert found.exposure("a.mrcs").state == State.FINISHED


def test_without_a_wait_nothing_waits(make: Make) -> None:
    found = make(input_wait_s=0)
    write_tiff(found, K3)
    found.after(10)
    assert found.exposure(K3).state == State.FINISHED


def test_the_reason_is_said_once_also_after_a_restart(make: Make) -> None:
    found = make()
    write_tiff(found, K3)
    found.after(10)
    found.restart()
    found.after(10)
    assert found.exposure(K3).reason == "waits for its gain reference FoilHole_1_Data_2_gain.tiff"
    assert found.discovery.pause_s(60) <= 30


def test_a_movie_that_waits_is_looked_at_again_only_when_an_input_comes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def counted(movie: Path, *others: object) -> MovieInputs:
        looks.append(movie)
        return find_inputs(movie, *others)

    monkeypatch.setattr("agents.finding.source_access.find_inputs", counted)
    found = make()
    write_tiff(found, K3)
    found.after(30)
    assert found.exposure(K3).reason.startswith("waits for its gain reference")
    assert len(looks) == 1
    write_tiff(found, TIFF_OF_K3)
    found.after(5)
    assert len(looks) > 1


# ---- movies whose counts need a gain reference

EER, FALCON = "data/FoilHole_1_Data_2_EER.eer", "data/falcon.gain"
OF_K3 = """<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"><microscopeData><acquisition>
<camera><Name>EF-CCD</Name></camera></acquisition></microscopeData></MicroscopeImage>"""
WHY = "EER holds electrons as the camera counted them, without correction"


def test_a_movie_that_needs_a_gain_reference_waits_for_it_at_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    found = make()
    write_eer(found, EER)
    write_eer(found, "data/FoilHole_2_Data_2_EER.eer")
    found.after(10)
    reason = found.exposure(EER).reason
    assert reason.startswith(f"waits for its gain reference; {WHY}. If no gain reference has come by ")
    assert "aligned without one then, with a warning" in reason
    assert "--gain none" in reason
    assert [text for text in caplog.messages if "movies wait for a gain reference" in text]
    assert found.discovery.pause_s(10_000) <= 900
    found.after(890)
    assert found.exposure(EER).state == State.FOUND
    assert found.exposure(EER).reason == reason
    found.after(10)
    assert found.exposure(EER).state == State.FINISHED
    assert "its gain reference did not come within 900 s; it waits no longer" in caplog.text


def test_the_gain_reference_ends_the_wait_when_nothing_writes_to_it(make: Make) -> None:
    found = make()
    write_eer(found, EER)
    found.after(200)
    write_falcon_gain(found)
    found.after(5)
    assert found.exposure(EER).reason == "waits for its gain reference falcon.gain, which is still being written"
    found.after(10)
    assert found.exposure(EER).state == State.FINISHED


def test_the_longer_wait_replaces_the_shorter_one_for_the_gain_alone(make: Make) -> None:
    found = make()
    write_tiff(found, K3)
    found.write("data/FoilHole_1_Data_2.xml", OF_K3)
    found.after(100)
    assert found.exposure(K3).reason.startswith("waits for its gain reference FoilHole_1_Data_2_gain.tiff; ")
    assert "names the camera EF-CCD, whose TIFF frames EPU does not correct" in found.exposure(K3).reason
    write_tiff(found, TIFF_OF_K3)
    found.after(15)
    assert found.exposure(K3).state == State.FINISHED
    found.align(K3, State.RELEASED)
    name = "data/FoilHole_5_Data_2_fractions.tiff"  # a metadata file is expected now, and its camera is not known
    write_tiff(found, name)
    found.after(15)
    assert found.exposure(name).state == State.FOUND
    found.after(35)
    assert found.exposure(name).state == State.FINISHED


@pytest.mark.parametrize("layout", ["auto", "epu", "flat"])
def test_it_waits_whatever_the_layout_and_without_other_waits(make: Make, layout: str) -> None:
    found = make(layout=LAYOUTS[layout], input_wait_s=0)
    write_eer(found, EER)
    found.after(800)
    assert found.exposure(EER).state == State.FOUND


def test_a_gain_reference_that_is_not_taken_is_named(make: Make) -> None:
    found = make()
    write_eer(found, EER)
    write_falcon_gain(found, side=32)
    found.after(10)
    assert f"{WHY}; not of the movie's size: falcon.gain has 32 x 32 px. If" in found.exposure(EER).reason


def test_a_restart_does_not_begin_the_wait_anew(make: Make) -> None:
    found = make()
    write_eer(found, EER)
    found.after(500)
    reason = found.exposure(EER).reason
    for _ in range(2):
        found.restart()
        found.after(150)
        assert found.exposure(EER).state == State.FOUND
        assert found.exposure(EER).reason.partition(" by ")[0] == reason.partition(" by ")[0]
    found.restart()
    found.after(120)
    assert found.exposure(EER).state == State.FINISHED


def test_a_restart_after_the_wait_still_lets_a_gain_reference_be_written(make: Make) -> None:
    found = make()
    write_eer(found, EER)
    found.after(500)
    found.clock.now_s += 1000
    found.restart()
    found.after(5)
    write_falcon_gain(found)
    found.after(5)
    assert found.exposure(EER).state == State.FOUND
    assert found.exposure(EER).reason.endswith("which is still being written")
    found.after(10)
    assert found.exposure(EER).state == State.FINISHED


def test_one_that_waited_and_begins_again_does_not_wait_again(make: Make) -> None:
    found = make()
    write_eer(found, EER)
    found.after(920)
    found.align(EER, State.RELEASED)
    found.write("data/FoilHole_1_Data_2.xml", XML.format(1))
    found.after(30)
    assert found.standing(EER) == (State.FINISHED, 2)


@pytest.mark.parametrize("of_all", [True, False])
def test_where_the_user_says_that_there_is_none_nothing_waits(make: Make, of_all: bool) -> None:
    found = make()
    found.named = NamedInputs(no_gain=of_all)
    write_eer(found, EER)
    found.after(10)
    if not of_all:
        found.after(30)
        assert found.exposure(EER).state == State.FOUND
        found.named = NamedInputs(no_gain=True)  # as by `retry --gain none` during the wait
        found.after(5)
    assert found.exposure(EER).state == State.FINISHED


def test_after_movies_with_one_none_is_expected_where_the_user_says_that_there_is_none(make: Make) -> None:
    found = make()
    write_eer(found, EER)
    write_falcon_gain(found)
    found.after(20)
    found.align(EER, State.RELEASED)
    found.named = NamedInputs(no_gain=True)
    write_eer(found, "data/FoilHole_2_Data_2_EER.eer")
    found.after(10)
    assert found.exposure("data/FoilHole_2_Data_2_EER.eer").state == State.FINISHED


def test_where_a_gain_reference_is_required_others_wait_too(make: Make) -> None:
    found = make(gain_wait_s=100)
    found.named = NamedInputs(requires_gain=True)
    found.write("a.mrcs", 1)
    found.after(10)
    assert found.exposure("a.mrcs").reason.startswith("waits for its gain reference; nothing tells which camera")
    assert ", the movie is held" in found.exposure("a.mrcs").reason
    found.after(100)
    assert found.exposure("a.mrcs").state == State.FINISHED  # its alignment holds it


def test_many_that_wait_are_not_all_looked_at_by_each_scan(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def counted(movie: Path, *others: object) -> MovieInputs:
        looks.append(movie)
        return find_inputs(movie, *others)

    monkeypatch.setattr("agents.finding.source_access.find_inputs", counted)
    found = make()
    write_eer(found, EER)
    content = (found.source / EER).read_bytes()
    for number in range(2, 200):
        found.write(f"data/FoilHole_{number}_Data_2_EER.eer", content)
    found.after(10)
    looks.clear()
    found.write("data/FoilHole_1_Data_2.xml", XML.format(1))
    found.after(5)
    assert 0 < len(looks) < 199
    found.after(10)
    assert len(set(looks)) == 199
