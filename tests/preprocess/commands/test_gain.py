"""`cryoferry gain estimate`: the file that it writes is the gain reference that `align` needs for the same movies."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc
from tests.running import cryoferry_here

MOVIES = 8
KNOWN = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "6", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for kind in ("tiff", "eer", "corrected", "unseen"):
        (folder / kind).mkdir()
    for seed in range(MOVIES + 1):
        movie = simulate_movie(settings(seed))
        place = "unseen" if seed == MOVIES else "{}"
        movie.write(folder / place.format("tiff") / f"{seed}.tiff")
        movie.write(folder / place.format("eer") / f"{seed}.eer", hardware_frames_per_frame=64)
        corrected = (frame * movie.gain for frame in movie.frames())
        write_mrc(folder / place.format("corrected") / f"{seed}.mrc", corrected, frame_count=3, mode=2)
    simulate_movie(SimulationSettings(height=128, width=256, frame_count=2)).write(folder / "small.tiff")
    (folder / "bad.tiff").write_bytes((folder / "tiff" / "0.tiff").read_bytes()[:5000])
    return folder


def settings(seed: int) -> SimulationSettings:
    return SimulationSettings(height=256, width=256, frame_count=3, seed=seed, dose_per_frame_e_per_a2=6, motion_px=3)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return lambda *args: cryoferry_here(monkeypatch, capsys, *args)


def movies(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / kind).iterdir())


@pytest.mark.parametrize(("kind", "operation"), [("tiff", "multiply"), ("eer", "divide")])
def test_the_same_movies_are_aligned_with_it_as_it_lies(folder, tmp_path, run, kind, operation):
    done = run("gain", "estimate", *movies(folder, kind), "--out", "new/gain.mrc", "--json")
    assert done.returncode == 0, done.stderr
    (told,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (told["gain"], told["operation"], told["movies"]) == ("new/gain.mrc", operation, MOVIES)
    assert told["pattern"] == pytest.approx(0.022, abs=0.004)
    assert told["movies_needed"] > MOVIES
    truth = simulate_movie(settings(0)).gain
    found = mrcfile.read(tmp_path / "new" / "gain.mrc")
    truth, found = (np.where((truth > 0) & (found > 0), image, 1) for image in (truth, found))
    assert np.corrcoef(truth.ravel(), (1 / found if operation == "divide" else found).ravel())[0, 1] > 0.7

    one, unseen = movies(folder, kind)[0], folder / "unseen" / f"{MOVIES}.{kind}"
    aligned = run("align", one, unseen, "--out", "out", "--gain", "new/gain.mrc", *KNOWN, "--json")
    for result in (json.loads(line) for line in aligned.stdout.splitlines()):
        used = {"rotate_degrees": 0, "flip": "none", "operation": "auto", "decision": "kept"}
        assert result["gain"] == {**used, "file": "gain.mrc", "found_by": ""}
        assert not [warning for warning in result["warnings"] if "gain" in warning["code"]]
    quality = json.loads((tmp_path / "out" / f"{unseen.stem}.json").read_text())["quality"]
    assert abs(quality["residual_gain_correlation"]) < 0.06
    assert quality["gain_fit"]["contrast_share"] > 0.7


def test_it_says_what_more_would_give_and_what_was_left_out(folder, run):
    named = [*movies(folder, "tiff"), folder / "small.tiff", folder / "bad.tiff", folder / "eer" / "0.eer"]
    done = run("gain", "estimate", *named, "--out", "gain.mrc")
    assert done.returncode == 0, done.stderr
    assert f"made from {MOVIES} movies; these movies multiply by it" in done.stdout
    assert "more movies are needed" in done.stdout
    assert "small.tiff is left out: its frames are 128 x 256 px" in done.stderr
    assert "bad.tiff is left out: " in done.stderr
    assert "0.eer is left out: it is eer, and the first movie is tiff" in done.stderr


def test_it_reads_no_more_movies_than_are_needed(folder, run):
    few = run("gain", "estimate", folder / "tiff", "--error", "0.03", "--out", "few.mrc")
    assert "made from 4 movies (4 more were not needed)" in few.stdout, few.stderr


@pytest.mark.parametrize(
    ("kind", "count", "why"),
    [("corrected", MOVIES, "do not show that the camera's pixels differ"), ("tiff", 1, "one movie cannot tell")],
)
def test_where_movies_do_not_show_it_nothing_is_written(folder, tmp_path, run, kind, count, why):
    done = run("gain", "estimate", *movies(folder, kind)[:count], "--out", "gain.mrc")
    assert done.returncode == 1
    assert why in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_there_are_kept(folder, tmp_path, run):
    (tmp_path / "gain.mrc").write_text("mine")
    done = run("gain", "estimate", *movies(folder, "tiff"), "--out", "gain.mrc")
    assert (done.returncode, (tmp_path / "gain.mrc").read_text()) == (2, "mine")
    assert run("gain", "estimate", *movies(folder, "tiff"), "--out", "gain.tiff").returncode == 2
    assert run("gain", "estimate", folder / "none.tiff", "--out", "other.mrc").returncode == 2
    assert run("gain", "estimate", *movies(folder, "tiff"), "--out", "gain.mrc", "--overwrite").returncode == 0


def test_movies_that_cannot_be_read_keep_no_memory(folder, run, monkeypatch):
    held: list[weakref.ref[NDArray[np.uint8]]] = []

    def read_and_fail(*_: object) -> None:
        assert all(frames() is None for frames in held)
        frames = np.zeros(5, np.uint8)
        held.append(weakref.ref(frames))
        raise UnreadableMovie("a frame is cut off")

    monkeypatch.setattr("preprocess.commands.gain_estimate_run.raw_sum", read_and_fail)
    assert run("gain", "estimate", *movies(folder, "tiff"), "--out", "gain.mrc").returncode != 0
    assert len(held) == MOVIES
