"""`cryoferry bench ctf` as a user runs it, on two small micrographs and on an image of the user's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.ctf.sets import SETS
from preprocess.simulation import MicrographSettings, simulate_micrograph
from tests.running import cryoferry_here


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in an empty folder, in this process: its code is compiled once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return lambda *arguments: cryoferry_here(monkeypatch, capsys, "bench", "ctf", *arguments)


def test_errors_of_simulated_micrographs_are_told_and_drawn(bench, tmp_path) -> None:
    done = bench("clean@512", "null@512", "--seeds", "3", "--programs", "cryoferry", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "cryoferry-bench/ctf.json").read_text())
    clean, null = told["summaries"]
    assert (clean["set_name"], clean["method"], clean["count"], clean["failures"]) == ("clean@512", "cryoferry-1", 1, 0)
    assert 0 < clean["defocus_percent"][0] < 5
    assert (null["wrong_but_reliable"], null["defocus_percent"]) == (0, None)
    run = told["runs"][0]
    assert run["truth"]["defocus_u_angstrom"] == SETS["clean"].settings(3).defocus_u_angstrom
    assert run["answers"][0]["wall_s"] > 0
    for name in ("ctf_errors", "ctf_stated", "ctf_confidence"):
        with Image.open(tmp_path / f"cryoferry-bench/{name}.png") as picture:
            assert min(picture.size) > 300
            assert len(picture.getcolors(100_000)) > 20
    assert "clean@512 3: cryoferry-1" in done.stderr


def test_parts_of_an_own_image_are_compared_with_the_whole(bench, tmp_path) -> None:
    settings = MicrographSettings(height=768, width=768, pixel_size_angstrom=1.5, carbon_area=0.9, seed=1)
    simulate_micrograph(settings).write(tmp_path / "own.mrc")
    known = ("--images", "own.mrc", "--pixel-size", "1.5", "--programs", "cryoferry", "--threads", "1")
    done = bench(*known, "--voltage", "300")
    assert done.returncode == 0, done.stderr
    assert "own.mrc  cryoferry-1" in done.stdout
    (report,) = json.loads((tmp_path / "cryoferry-bench/ctf.json").read_text())["images"]
    assert report["answers"][0]["defocus_u_angstrom"] == pytest.approx(15000, abs=150)
    halves = [one["answer"]["defocus_u_angstrom"] for one in report["parts"] if "half" in one["part"]]
    assert len(halves) == 4
    assert np.ptp(halves) < 400
    refused = bench(*known)
    assert (refused.returncode, "--voltage" in refused.stderr) == (2, True)


def test_a_dry_run_says_what_would_be_measured(bench, tmp_path) -> None:
    done = bench("--dry-run", "--count", "4", "--programs", "cryoferry")
    assert len(done.stdout.splitlines()) == len(SETS) + 1
    assert "4 images of 4096 x 4096 px" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nothing"], "no set of micrographs is called nothing"),
        (["--programs", "gctf"], "no program is called gctf"),
        (["--threads", "x"], "--threads"),
    ],
)
def test_what_cannot_be_measured_is_refused(bench, arguments, why) -> None:
    done = bench(*arguments)
    assert (done.returncode, why in done.stderr) == (2, True)
