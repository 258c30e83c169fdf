"""What `cryoferry align` takes for movies in folders, and where their outputs go."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.commands.chosen_movies import choose_movies
from preprocess.errors import InputMissing, UnreadableMovie
from preprocess.simulation import SimulationSettings, simulate_movie

MOVIE = "FoilHole_1_Data_2_3_20260101_101010_fractions"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    for count, name in ((3, "movie"), (1, "image")):
        made = simulate_movie(SimulationSettings(height=64, width=64, frame_count=count, seed=1, gain=False))
        for ending in (".tiff", ".mrc"):
            made.write(folder / f"{name}{ending}")
    return folder


def place(written: Path, folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in files.items():
        (folder / name).write_bytes((written / kind).read_bytes() if kind else b"")


def test_a_folder_s_movies_are_found_at_every_depth_and_the_rest_is_named(written, tmp_path):
    session = tmp_path / "session"
    place(
        written,
        session / "GridSquare_1" / "Data",
        **{
            f"{MOVIE}.tiff": "movie.tiff",
            f"{MOVIE}_gain.tiff": "image.tiff",
            "FoilHole_1_Data_2_3_20260101_101010.mrc": "image.mrc",
            "FoilHole_1_Data_2_3_20260101_101010.xml": "",
            "GridSquare_20260101.mrc": "movie.mrc",
        },
    )
    place(written, session, **{"one.mrc": "image.mrc", "one.tif": "image.tiff", "broken.tiff": ""})
    place(written, session / "other", **{"plain.mrc": "movie.mrc", "x.tif.part": "movie.tiff"})
    place(written, session / ".snapshot", **{"old.mrc": "movie.mrc"})
    (session / "again").symlink_to(session / "other")
    chosen = choose_movies([session], tmp_path / "out")
    data = session / "GridSquare_1" / "Data"
    assert [(movie.path, movie.out) for movie in chosen.movies] == [
        (session / "broken.tiff", tmp_path / "out"),
        (data / f"{MOVIE}.tiff", tmp_path / "out/GridSquare_1/Data"),
        (session / "other/plain.mrc", tmp_path / "out/other"),
    ]
    passed_over = {path.relative_to(session).as_posix(): why for path, why in chosen.passed_over.items()}
    assert passed_over.pop("one.tif").startswith("one image")
    assert passed_over.pop("again").startswith("a link to a folder")
    inside = "GridSquare_1/Data/"
    assert passed_over == {
        "one.mrc": "the sum image of a movie of the same name",
        ".snapshot": "a hidden folder",
        "other/x.tif.part": "still being written, by its name",
        f"{inside}{MOVIE}_gain.tiff": "a reference image, by its name",
        f"{inside}FoilHole_1_Data_2_3_20260101_101010.mrc": "EPU's own sum image",
        f"{inside}FoilHole_1_Data_2_3_20260101_101010.xml": "not a movie's extension",
        f"{inside}GridSquare_20260101.mrc": "an overview image of EPU",
    }


def test_results_of_alignments_are_no_movies(written, tmp_path):
    session = tmp_path / "session"
    before = dict.fromkeys(("a.mrc", "a_noDW.mrc", "a_EVN.mrc"), "movie.mrc") | {"a.json": "", "a.star": ""}
    place(written, session, **{"b.tiff": "movie.tiff", **before, "b_EVN.mrc": "movie.mrc"})
    place(written, session / "aligned", **{"c.mrc": "movie.mrc"})
    chosen = choose_movies([session], session / "aligned")
    assert [movie.name for movie in chosen.movies] == ["b.tiff", "b_EVN.mrc"]
    assert chosen.passed_over[session / "aligned"] == "the folder of the results"
    assert chosen.passed_over[session / "a_EVN.mrc"] == "a result of an alignment"


def test_a_movie_that_is_named_is_taken_whatever_it_looks_like(written, tmp_path):
    place(written, tmp_path, **{"x_gain.mrc": "image.mrc", "movie.tiff": "movie.tiff"})
    chosen = choose_movies([tmp_path / "x_gain.mrc", tmp_path / "movie.tiff", tmp_path], tmp_path / "out")
    assert [movie.name for movie in chosen.movies] == ["x_gain.mrc", "movie.tiff"], "and each once"


def test_a_folder_without_movies_is_an_error_that_says_what_is_in_it(written, tmp_path):
    place(written, tmp_path, **{"x_gain.mrc": "image.mrc", "a.xml": "", "b.xml": ""})
    with pytest.raises(UnreadableMovie, match="no movie in the folder") as error:
        choose_movies([tmp_path], tmp_path / "out")
    assert error.value.hint == (
        "What is in it: 2 files: not a movie's extension; 1 file: a reference image, by its name (x_gain.mrc)"
    )


def test_what_is_missing_is_refused_before_anything_is_looked_at(tmp_path):
    with pytest.raises(InputMissing, match="nowhere"):
        choose_movies([tmp_path, tmp_path / "nowhere"], tmp_path / "out")
