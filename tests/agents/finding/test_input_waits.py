"""A finished movie waits for an input that comes after it, if something says that it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agents.finding.movie_inputs import FoundInput, NamedInputs, find_inputs
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
    assert found.exposure("a.mrcs").reason == f"waits for its gain reference {reference}"
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

    def counted(movie: Path, *others: object) -> list[FoundInput]:
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
