"""`cryoferry ctf` that is stopped, killed or no longer read, and what `--resume` makes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import weakref
from pathlib import Path

import numpy as np
import pytest
import starfile
from numpy.typing import NDArray

from preprocess.errors import CtfImpossible
from preprocess.outputs.ctf_star import RELIABLE
from preprocess.outputs.micrographs_star import ListedMicrograph, listed_micrographs, write_ctf_stars
from preprocess.platform import process_space
from preprocess.simulation import MicrographSettings, simulate_micrograph, write_mrc
from tests.running import COMMAND, clean_environment, cryoferry_here

KNOWN = ("--voltage", "300", "--device", "cpu", "--threads", "1")
LISTS = ("micrographs_ctf.star", "micrographs_ctf_all.star")
COUNT = 8


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one image."""
    folder = tmp_path_factory.mktemp("recorded")
    settings = MicrographSettings(height=512, width=512, seed=1, pixel_size_angstrom=1.5, dose_e_per_a2=60)
    image = simulate_micrograph(settings).image
    write_mrc(folder / "m00.mrc", [image], frame_count=1, mode=2, pixel_size_angstrom=1.5)
    return folder


@pytest.fixture
def images(recorded: Path, tmp_path: Path) -> Path:
    """A folder with two images."""
    shutil.copytree(recorded, tmp_path / "images")
    shutil.copy(tmp_path / "images/m00.mrc", tmp_path / "images/m01.mrc")
    return tmp_path / "images"


@pytest.fixture
def ctf(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *args: cryoferry_here(monkeypatch, capsys, "ctf", *args)


def listed(path: Path) -> list[str]:
    return [Path(name).stem for name in starfile.read(path)["micrographs"]["rlnMicrographName"]]


def done_in(out: Path) -> list[str]:
    return sorted(path.name.removesuffix("_ctf.json") for path in out.glob("*_ctf.json"))


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_failed_images_keep_no_memory(ctf, images, monkeypatch):
    held: list[weakref.ref[NDArray[np.float32]]] = []

    def transform_and_fail(image: NDArray[np.float32], *_: object) -> None:
        assert all(image() is None for image in held)
        held.append(weakref.ref(image))
        raise CtfImpossible("it has no rings")

    monkeypatch.setattr("preprocess.commands.ctf_run.block_spectra", transform_and_fail)
    done = ctf("images", *KNOWN)
    assert (done.returncode, len(held)) == (4, 2), done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_in_the_middle_lists_what_is_done_and_resume_goes_on(ctf, images, tmp_path, ending):
    for number in range(2, COUNT):
        shutil.copy(images / "m00.mrc", images / f"m{number:02d}.mrc")
    out = tmp_path / "out"
    asked = (images, "--out", out, "--star", *KNOWN)
    with subprocess.Popen(
        [*COMMAND, "ctf", *map(str, asked)],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith(f"1/{COUNT} m00.mrc"))
        process.send_signal(ending)
        rest = process.stderr.read()
        code = process.wait()
    done = done_in(out)
    assert 0 < len(done) < COUNT
    if ending == signal.SIGKILL:
        assert not any((out / name).exists() for name in LISTS)
    else:
        assert code == 130
        assert f"of {COUNT} images are done; with --resume it goes on from there" in rest
        assert "Traceback" not in rest
        assert listed(out / LISTS[1]) in (done, done[:-1])  # the last may have been written in that moment
        assert not list(out.glob(".*"))
    before = {name: (out / f"{name}_ctf.json").stat().st_mtime_ns for name in done}
    resumed = ctf(*asked, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert f"{len(done)} of {COUNT} images are done already" in resumed.stderr
    assert {name: (out / f"{name}_ctf.json").stat().st_mtime_ns for name in done} == before
    assert listed(out / LISTS[1]) == [f"m{number:02d}" for number in range(COUNT)]
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("options", [("--json",), ("--json", "--out", "out", "--star")])
def test_a_reader_that_closes_the_pipe_ends_it_quietly(images, tmp_path, options):
    for number in range(2, COUNT):
        shutil.copy(images / "m00.mrc", images / f"m{number:02d}.mrc")
    with subprocess.Popen(
        [*COMMAND, "ctf", "images", *options, *KNOWN],
        env=clean_environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["micrograph"] == "images/m00.mrc"
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 1
    assert "error" not in said.lower()
    assert "Traceback" not in said
    if "--star" in options:
        assert 0 < len(listed(tmp_path / "out" / LISTS[1])) < COUNT


def test_a_resumption_makes_the_lists_that_one_run_makes(ctf, images, tmp_path):
    asked = (images, "--star", "--ctffind-files", *KNOWN)
    assert ctf(*asked, "--out", "one").returncode == 0
    assert ctf(images / "m01.mrc", "--ctffind-files", *KNOWN, "--out", "out").returncode == 0
    assert ctf(*asked, "--out", "out", "--resume").returncode == 0
    at_once = {name: content.replace(b"one/", b"out/") for name, content in contents(tmp_path / "one").items()}
    assert contents(tmp_path / "out") == at_once
    again = ctf(*asked, "--out", "out", "--resume", "--json")
    assert [json.loads(line)["passed_over"] for line in again.stdout.splitlines()] == ["it is done"] * 2
    assert contents(tmp_path / "out") == at_once
    nothing = ctf(*asked, "--out", "out", "--resume", "--dry-run")
    assert "0 images, 0 would be refused" in nothing.stderr


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ("", ("--cs", "2"), "its results were made with other settings"),
        ("", ("--pixel-size", "1.4"), "its results were made with other settings"),
        ("", ("--ctffind-files",), "its results were made with other settings"),
        ("pixel", (), "the image changed"),
        ("time", (), "the image changed"),
        ("m00_ctf.png", (), "m00_ctf.png is not whole, or gone"),
    ],
)
def test_what_is_not_as_it_would_be_made_now_is_made_again(ctf, images, tmp_path, change, options, says):
    assert ctf(images / "m00.mrc", "--out", "out", *KNOWN).returncode == 0
    image, results = images / "m00.mrc", tmp_path / "out/m00_ctf.json"
    made_ns = results.stat().st_mtime_ns
    os.utime(image, ns=(made_ns - 10**9, made_ns - 10**9))
    if change == "pixel":
        content = bytearray(image.read_bytes())
        content[-2] ^= 1
        image.write_bytes(content)
        os.utime(image, ns=(made_ns - 10**9, made_ns - 10**9))
    elif change == "time":
        os.utime(results, ns=(made_ns - 10**10, made_ns - 10**10))
        os.utime(image, ns=(made_ns - 10**9, made_ns - 10**9))
    elif change:
        (tmp_path / "out" / change).unlink()
    resumed = ctf(images / "m00.mrc", "--out", "out", "--resume", *options, *KNOWN)
    assert resumed.returncode == 0
    assert f"m00.mrc is estimated again: {says}" in resumed.stderr
    assert results.stat().st_mtime_ns > made_ns - 10**9
    assert "done already" in ctf(images / "m00.mrc", "--out", "out", "--resume", *options, *KNOWN).stderr


def test_an_image_that_is_gone_bad_is_said_and_no_longer_listed(ctf, images, tmp_path):
    assert ctf(images, "--out", "out", "--star", *KNOWN).returncode == 0
    (images / "m00.mrc").write_bytes(b"")
    resumed = ctf(images, "--out", "out", "--star", "--resume", *KNOWN)
    assert (resumed.returncode, "the file is empty" in resumed.stderr) == (3, True)
    assert listed(tmp_path / "out" / LISTS[1]) == ["m01"]


@pytest.mark.parametrize("there", ["m00_ctf.txt", "m00_ctf.mrc", "m00.json"])
def test_resume_does_not_replace_what_this_command_did_not_write(ctf, images, tmp_path, there):
    out = tmp_path / "out"
    out.mkdir()
    if there == "m00.json":  # results of an alignment, whose spectrum has our label
        assert ctf(images / "m00.mrc", "--out", "out", *KNOWN).returncode == 0
        (out / "m00_ctf.json").unlink()
        (out / there).write_text(json.dumps({"software": "cryoferry 1"}))
    else:
        (out / there).write_text("theirs" * 100)
    before = contents(out)
    refused = ctf(images / "m00.mrc", "--out", "out", "--resume", *KNOWN)
    assert refused.returncode == 2
    assert "`cryoferry ctf` did not write it" in refused.stderr
    assert contents(out) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--resume",), "--resume needs a folder"),
        (("--out", "out", "--resume", "--overwrite"), "contradict each other"),
    ],
)
def test_what_makes_no_sense_is_refused(ctf, images, options, says):
    refused = ctf(images, *options, *KNOWN)
    assert (refused.returncode, says in refused.stderr) == (2, True)


def test_a_run_removes_what_killed_ones_left_in_its_folder(ctf, images, tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / f".{LISTS[0]}.{process_space()}-{process.pid}.partial"
    left.touch()
    assert ctf(images, "--out", "out", "--dry-run", *KNOWN).returncode == 0
    assert left.exists()
    assert ctf(images, "--out", "out", *KNOWN).returncode == 0
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("option", [(), ("--resume",), ("--overwrite",), ("--overwrite", "--dry-run")])
def test_files_of_align_are_never_replaced(ctf, images, tmp_path, option):
    (tmp_path / "out").mkdir()
    report = {"software": "cryoferry 0.1", "files": {"ctf_spectrum": {"name": "m00_ctf.mrc", "bytes": 8}}}
    kept = {"m00_ctf.mrc": b"spectrum", "m00.json": json.dumps(report).encode()}
    for name, content in kept.items():
        (tmp_path / "out" / name).write_bytes(content)
    done = ctf(images, "--out", "out", *option, *KNOWN)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "m00_ctf.mrc was written by `cryoferry align`" in said
    assert "Give another --out" in said
    assert contents(tmp_path / "out") == kept


def test_files_beside_a_movie_aligned_without_a_ctf_are_written(ctf, images, tmp_path):
    (tmp_path / "out").mkdir()
    report = {"software": "cryoferry 0.1", "files": {"micrograph": {"name": "m00.mrc", "bytes": 8}}}
    (tmp_path / "out" / "m00.json").write_text(json.dumps(report))
    assert ctf(images / "m00.mrc", "--out", "out", *KNOWN).returncode == 0
    assert ctf(images / "m00.mrc", "--out", "out", "--overwrite", *KNOWN).returncode == 0
    assert done_in(tmp_path / "out") == ["m00"]


@pytest.mark.parametrize("of_before", ["align's", "ctf's", "nobody's"])
def test_lists_of_other_micrographs_are_never_replaced(ctf, images, tmp_path, of_before):
    out = tmp_path / "out"
    out.mkdir()
    if of_before == "ctf's":
        assert ctf(images / "m00.mrc", "--out", "out", "--star", *KNOWN).returncode == 0
    elif of_before == "align's":
        columns = {"rlnDefocusU": 1.0, RELIABLE: 1.0}
        listed = {"micrograph": Path("aligned folder/FoilHole 1.mrc")}
        write_ctf_stars(out, [ListedMicrograph({"rlnVoltage": "300"}, listed, {}, columns)])
    else:
        (out / LISTS[1]).write_text("a list of another kind")
    before = contents(out)
    refused = ctf(images / "m01.mrc", "--out", "out", "--star", "--overwrite", *KNOWN)
    assert refused.returncode == 2
    told = {
        "align's": "such as aligned folder/FoilHole 1.mrc",
        "ctf's": "m00.mrc",
        "nobody's": "not written by this command",
    }
    assert told[of_before] in " ".join(refused.stderr.split())
    assert "Give another --out" in refused.stderr
    assert contents(out) == before
    assert ctf(images / "m01.mrc", "--out", "out", *KNOWN).returncode == 0, "without --star nothing is lost"
    if of_before == "ctf's":
        assert ctf(images, "--out", "out", "--star", "--resume", *KNOWN).returncode == 0
        assert listed_micrographs(out / LISTS[1]) == [images / "m00.mrc", images / "m01.mrc"]
