"""When a movie's results need not be made again, and each reason why they must be."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from preprocess.exposure.acquisition import Acquisition
from preprocess.made_from import made_from
from preprocess.outputs.finished import NotFinished, finished_report, is_ours
from preprocess.outputs.output_names import ENDINGS
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, DefectSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)


def settings(folder: Path) -> AlignmentSettings:
    defects = DefectSettings(path=folder / "defects.txt")
    return AlignmentSettings(device="cpu", threads=1, gain=GainSettings(path=folder / "gain.mrc"), defects=defects)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aligned")
    made = simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, seed=1))
    made.write(folder / "a.mrc")
    made.write_gain(folder / "gain.mrc", movie_format="mrc")
    (folder / "defects.txt").write_text("3 3 1 1\n")
    (folder / "a.mrc.mdoc").write_text("[FrameSet = 0]\nVoltage = 300\n")
    process_movie(folder / "a.mrc", folder / "out", settings=settings(folder), acquisition=EXPOSURE)
    return folder


@pytest.fixture
def folder(aligned: Path, tmp_path: Path) -> Path:
    shutil.copytree(aligned, tmp_path / "copy")
    return tmp_path / "copy"


def report(folder: Path, asked: AlignmentSettings | None = None, known: Acquisition = EXPOSURE) -> dict:
    wanted = made_from(folder / "a.mrc", asked or settings(folder), known, Acquisition())
    return finished_report(folder / "a.mrc", folder / "out", wanted)


def why(folder: Path, *more: object) -> str:
    with pytest.raises(NotFinished) as error:
        report(folder, *more)
    return str(error.value)


def test_a_copy_of_movie_and_results_is_finished_whatever_computed_it(folder):
    assert set(report(folder)["files"]) == set(ENDINGS) - {
        *("results", "micrograph_unweighted", "micrograph_even", "micrograph_odd", "power_spectrum"),
        *("motion_log", "patch_motion_log"),
        *(role for role in ENDINGS if role.startswith("ctf_")),
    }
    assert report(folder, replace(settings(folder), threads=3, device="auto"))


def test_another_request_is_another_result(folder):
    told = "its results were made with other settings, or its gain reference, defects or metadata changed"
    assert why(folder, replace(settings(folder), bin_factor=2)) == told
    assert why(folder, None, replace(EXPOSURE, voltage_kv=200.0)) == told
    for name in ("gain.mrc", "defects.txt", "a.mrc.mdoc"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before[:-2] + b"3\n")
        assert why(folder) == told, name
        (folder / name).write_bytes(before)
    (folder / "a.mrc.mdoc").unlink()
    assert why(folder) == told
    (folder / "a.xml").touch()
    assert why(folder) == told


def test_another_movie_of_the_same_size_is_seen(folder):
    movie, results = folder / "a.mrc", folder / "out/a.json"
    content = bytearray(movie.read_bytes())
    content[-1] ^= 1
    movie.write_bytes(content)
    os.utime(movie, (1.0, 1.0))
    assert why(folder) == "the movie changed"
    content[-1] ^= 1
    movie.write_bytes(content)
    os.utime(results, (time.time() - 60,) * 2)
    assert why(folder) == "the movie changed", "it was written to after its results"
    os.utime(movie, (time.time() + 3600,) * 2)
    assert report(folder), "a camera's clock that is ahead says nothing"


@pytest.mark.parametrize("damage", ["cut off", "gone"])
@pytest.mark.parametrize("ending", [".mrc", ".star", ".png", "_motion.png"])
def test_results_that_are_not_whole_are_named(folder, ending, damage):
    path = folder / f"out/a{ending}"
    if damage == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size - 1)
    assert why(folder) == f"a{ending} is not whole, or gone"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_json_that_is_none_is_like_no_results(folder, content):
    (folder / "out/a.json").write_bytes(content)
    assert why(folder) == ""


def test_results_of_another_version_are_not_finished(folder):
    path = folder / "out/a.json"
    text = json.loads(path.read_text())
    path.write_text(json.dumps(text | {"software": "cryoferry 0.0.1"}))
    assert why(folder) == "its results were made by cryoferry 0.0.1"
    path.write_text(json.dumps({name: text[name] for name in text if name != "made_from"}))
    assert why(folder) == "its results do not say what they were made from"


def test_while_results_are_replaced_nothing_says_that_they_are_finished(folder):
    (folder / "out/a_motion.png").unlink()
    (folder / "out/a_motion.png/inside").mkdir(parents=True)  # writing ends there
    other = replace(settings(folder), bin_factor=2)
    with pytest.raises(OSError, match="a_motion"):
        process_movie(folder / "a.mrc", folder / "out", settings=other, acquisition=EXPOSURE)
    assert why(folder) == ""
    assert is_ours(folder / "a.mrc", folder / "out"), "the micrograph's label says so"


def test_results_of_other_programs_are_not_ours(folder):
    (folder / "out/a.json").write_text('{"software": "other"}')
    assert not is_ours(folder / "a.mrc", folder / "out")
    (folder / "out/a.json").unlink()
    assert is_ours(folder / "a.mrc", folder / "out")
    shutil.copy(folder / "a.mrc", folder / "out/a.mrc")
    assert not is_ours(folder / "a.mrc", folder / "out")
