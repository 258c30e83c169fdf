"""Movies whose gain reference lies in another way than RELION's rule says, from the file to the micrograph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.correction.gain_turns import ORIENTATIONS, turned
from preprocess.errors import GainMismatch
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.gain_orientations import GainOrientations
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, CtfSettings, EerSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=1.5)
PLAIN = AlignmentSettings(
    device="cpu",
    threads=1,
    patches=(1, 1),
    eer=EerSettings(hardware_frames_per_frame=4),
    ctf=CtfSettings(wanted=False),
)
SIMULATED = SimulationSettings(height=256, width=256, frame_count=4, seed=5, dose_per_frame_e_per_a2=1.5, motion_px=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    movie = simulate_movie(SIMULATED)
    movie.write(folder / "movie.tiff")
    movie.write(folder / "movie.eer", hardware_frames_per_frame=4)
    assert movie.gain is not None
    inverse = np.divide(1, movie.gain, out=np.zeros_like(movie.gain), where=movie.gain > 0)
    for number, turn in enumerate(ORIENTATIONS):
        write_mrc(folder / f"tiff{number}.mrc", iter([turned(movie.gain, turn)]), frame_count=1, mode=2)
        write_mrc(folder / f"eer{number}.mrc", iter([turned(inverse, turn)]), frame_count=1, mode=2)  # divides
    write_mrc(folder / "multiplies.mrc", iter([movie.gain]), frame_count=1, mode=2)
    return folder


def run(folder: Path, out: Path, name: str, gain: GainSettings, **more) -> ProcessedMovie:
    return process_movie(folder / name, out, settings=replace(PLAIN, gain=gain), acquisition=EXPOSURE, **more)


def told(result: ProcessedMovie) -> dict:
    return json.loads(result.file("results").read_text())


def same_micrograph(one: Path, other: Path, stem: str = "movie") -> bool:
    return (one / f"{stem}.mrc").read_bytes() == (other / f"{stem}.mrc").read_bytes()


@pytest.mark.parametrize("kind", ["tiff", "eer"])
def test_a_gain_that_fits_is_used_as_it_lies(folder, tmp_path, kind):
    itself = run(folder, tmp_path / "auto", f"movie.{kind}", GainSettings(path=folder / f"{kind}0.mrc"))
    given = GainSettings(path=folder / f"{kind}0.mrc", orientation="given")
    run(folder, tmp_path / "given", f"movie.{kind}", given)
    assert (itself.warnings, itself.gain.decision) == ((), "kept")
    assert told(itself)["quality"]["gain_fit"]["standard_errors"] > 5
    assert same_micrograph(tmp_path / "auto", tmp_path / "given")


@pytest.mark.parametrize("kind", ["tiff", "eer"])
@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_gain_that_lies_in_another_way_is_turned_and_that_is_said(folder, tmp_path, kind, number, caplog):
    itself = run(folder, tmp_path / "auto", f"movie.{kind}", GainSettings(path=folder / f"{kind}{number}.mrc"))
    right = run(folder, tmp_path / "right", f"movie.{kind}", GainSettings(path=folder / f"{kind}0.mrc"))
    assert same_micrograph(tmp_path / "auto", tmp_path / "right")
    assert itself.shifts_y_px == right.shifts_y_px
    [warning] = itself.warnings
    assert warning.code == "gain-turned"
    flags = f"--gain-rotate {itself.gain.rotate_degrees} --gain-flip {itself.gain.flip}"
    assert flags in warning.text
    assert flags in caplog.text
    parameters = told(itself)["parameters"]["gain"]
    assert (parameters["rotate_degrees"], parameters["flip"]) == (itself.gain.rotate_degrees, itself.gain.flip)
    assert told(itself)["quality"]["gain_fit"]["decision"] == "turned"
    named = GainSettings(path=folder / f"{kind}{number}.mrc", rotate_degrees=itself.gain.rotate_degrees)
    given = run(folder, tmp_path / "given", f"movie.{kind}", replace(named, flip=itself.gain.flip, orientation="given"))
    assert given.warnings == ()
    assert same_micrograph(tmp_path / "auto", tmp_path / "given")
    star = (tmp_path / "auto" / "movie.star").read_text()
    assert f"{kind}{number}.mrc" not in star, "RELION would take it as its file lies"


def test_a_gain_that_multiplies_an_eer_movie_is_seen(folder, tmp_path):
    itself = run(folder, tmp_path / "auto", "movie.eer", GainSettings(path=folder / "multiplies.mrc"))
    run(folder, tmp_path / "right", "movie.eer", GainSettings(path=folder / "eer0.mrc"))
    assert (itself.gain.operation, itself.gain.decision) == ("multiply", "turned")
    one, other = (mrcfile.read(tmp_path / name / "movie.mrc").astype(float) for name in ("auto", "right"))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9999  # one gain is the other's inverse in float32
    assert "multiplies.mrc" not in (tmp_path / "auto" / "movie.star").read_text()
    wrong = run(
        folder, tmp_path / "divide", "movie.eer", GainSettings(path=folder / "multiplies.mrc", operation="divide")
    )
    assert [warning.code for warning in wrong.warnings] == ["gain-does-not-fit"]


def test_a_gain_whose_rows_are_the_movie_s_columns_is_turned(tmp_path):
    movie = simulate_movie(replace(SIMULATED, width=192))
    movie.write(tmp_path / "movie.mrc")
    gain = GainSettings(path=tmp_path / "gain.mrc")
    write_mrc(gain.path, iter([np.rot90(movie.gain)]), frame_count=1, mode=2)
    assert run(tmp_path, tmp_path / "out", "movie.mrc", gain).gain.rotate_degrees == 90
    with pytest.raises(GainMismatch, match="256 px"):
        run(tmp_path, tmp_path / "given", "movie.mrc", replace(gain, orientation="given"))
    write_mrc(gain.path, iter([np.rot90(simulate_movie(replace(SIMULATED, width=192, detector_seed=9)).gain)]),
              frame_count=1, mode=2)  # fmt: skip
    with pytest.raises(GainMismatch, match="192 x 256") as refused:
        run(tmp_path, tmp_path / "other", "movie.mrc", gain)
    assert "--gain-rotate 90" in refused.value.hint


def test_movies_that_are_faint_alone_decide_together(tmp_path):
    faint = replace(SIMULATED, dose_per_frame_e_per_a2=0.25)
    movies = [tmp_path / f"movie{seed}.eer" for seed in range(6)]
    for seed, path in enumerate(movies):
        movie = simulate_movie(replace(faint, seed=seed))
        movie.write(path, hardware_frames_per_frame=4)
    inverse = np.divide(1, movie.gain, out=np.zeros_like(movie.gain), where=movie.gain > 0)
    gain = GainSettings(path=tmp_path / "gain.mrc")
    write_mrc(gain.path, iter([inverse[::-1]]), frame_count=1, mode=2)

    alone = run(tmp_path, tmp_path / "alone", "movie0.eer", gain)
    assert (alone.gain.decision, alone.gain.flip) == ("unsure", "none")
    assert "gain-orientation-unsure" in {warning.code for warning in alone.warnings}

    strangers = GainOrientations(movies, lambda path: gain if path == movies[0] else GainSettings(path=path))
    apart = run(tmp_path, tmp_path / "apart", "movie0.eer", gain, orientations=strangers)
    assert apart.gain.decision == "unsure"

    orientations = GainOrientations(movies, lambda _path: gain)
    together = [run(tmp_path, tmp_path / "out", path.name, gain, orientations=orientations) for path in movies[:2]]
    assert [(each.gain.decision, each.gain.flip) for each in together] == [("turned", "y")] * 2
    assert "gain-orientation-unsure" not in {warning.code for each in together for warning in each.warnings}
