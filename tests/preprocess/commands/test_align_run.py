"""A folder of movies through `cryoferry align`: its lines, its ends, interruptions and resumptions."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import weakref
from pathlib import Path

import numpy as np
import pytest
import starfile
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie
from preprocess.platform import process_space
from preprocess.simulation import SimulationSettings, simulate_movie
from tests.on_terminals import shown_on_terminal
from tests.running import COMMAND, clean_environment, cryoferry_here

KNOWN = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "0.83", "--device", "cpu", "--threads", "1")
SQUARES = ("square1", "square2")
LISTS = ("corrected_micrographs.star", "micrographs_ctf.star", "micrographs_ctf_all.star")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two squares with movies of the same names, a gain reference and metadata."""
    folder = tmp_path_factory.mktemp("recorded")
    for seed, square in enumerate(SQUARES, start=1):
        (folder / square).mkdir()
        made = simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, seed=seed, gain=False))
        made.write(folder / square / "a.mrc")
        made.write(folder / square / "b.tiff")
    shutil.copy(folder / "square1/a.mrc", folder / "square1/gain_x.mrc")
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def session(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "session"))


@pytest.fixture
def align(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *args: cryoferry_here(monkeypatch, capsys, "align", *args)


def listed(path: Path) -> list[str]:
    return list(starfile.read(path)["micrographs"]["rlnMicrographName"])


def times(out: Path) -> dict[str, int]:
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.mrc")}


def test_a_folder_is_mirrored_with_a_line_a_movie_in_a_log(align, session, tmp_path):
    done = align(session, "-o", "out", "--star", *KNOWN)
    assert done.returncode == 0, done.stderr
    assert set(times(tmp_path / "out")) == {f"{square}/{stem}.mrc" for square in SQUARES for stem in "ab"}
    passed_over, *lines = done.stderr.splitlines()
    assert (
        passed_over
        == "passed over: 1 file: a reference image, by its name (gain_x.mrc); 1 file: not a movie's extension"
    )
    told = [line.split(" aligned in ")[0] for line in lines if " aligned in " in line]
    assert told == ["1/4 square1/a.mrc:", "2/4 square1/b.tiff:", "3/4 square2/a.mrc:", "4/4 square2/b.tiff:"]
    names = starfile.read(tmp_path / "out/corrected_micrographs.star")["micrographs"]["rlnMicrographName"]
    assert names.tolist() == [f"out/{square}/{stem}.mrc" for square in SQUARES for stem in "ab"]


def test_on_a_terminal_bars_move_and_no_line_a_movie_is_told(session: Path, tmp_path: Path) -> None:
    command = (*COMMAND, "align", session / "square1", "-o", tmp_path / "out", *KNOWN)
    code, seen = shown_on_terminal(command)
    assert code == 0, seen
    assert b"1/2 a.mrc" in seen
    assert b"\x1b[2K" in seen, "a bar is drawn over itself"
    assert rb"\x1b" not in seen
    assert b"aligned in" not in seen


def test_resume_skips_what_is_done_and_says_why_it_does_the_rest(align, session, tmp_path):
    assert align(session / "square1", "-o", "out/square1", *KNOWN).returncode == 0
    before = times(tmp_path / "out")
    (tmp_path / "out/square1/b.star").unlink()
    refused = align(session, "-o", "out", *KNOWN)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    resumed = align(session, "-o", "out", "--resume", "--star", *KNOWN)
    assert resumed.returncode == 0, resumed.stderr
    assert "1 of 4 movies are done already" in resumed.stderr
    assert "square1/b.tiff is aligned again: b.star is not whole, or gone" in resumed.stderr
    after = times(tmp_path / "out")
    assert after["square1/a.mrc"] == before["square1/a.mrc"]
    assert after["square1/b.mrc"] != before["square1/b.mrc"]
    listed = starfile.read(tmp_path / "out/corrected_micrographs.star")
    assert len(listed["micrographs"]) == 4, "those of before too"
    assert len(listed["optics"]) == 1
    again = align(session, "-o", "out", "--resume", "--star", "--json", *KNOWN)
    assert again.returncode == 0
    told = [json.loads(line) for line in again.stdout.splitlines()]
    assert [one["passed_over"] for one in told if "gain" not in one["movie"]] == ["it is done"] * 4
    assert times(tmp_path / "out") == after
    assert starfile.read(tmp_path / "out/corrected_micrographs.star")["micrographs"].equals(listed["micrographs"])


def test_resume_replaces_no_file_of_another_program(align, session, tmp_path):
    (tmp_path / "out/square2").mkdir(parents=True)
    shutil.copy(session / "square1/a.mrc", tmp_path / "out/square2/b.mrc")
    done = align(session, "-o", "out", "--resume", *KNOWN)
    assert done.returncode == 2
    assert "no alignment of cryoferry wrote it" in " ".join(done.stderr.split())
    assert align(session, "-o", "out", "--resume", "--overwrite", *KNOWN).returncode == 2


def test_some_failed_is_3_and_all_failed_is_their_own(align, session, tmp_path):
    for path in session.glob("square1/*.*"):
        path.write_bytes(path.read_bytes()[:2000])
    some = align(session, "-o", "out", *KNOWN)
    assert some.returncode == 3
    assert "1/4 square1/a.mrc: failed after" in some.stderr
    assert len(times(tmp_path / "out")) == 2
    assert align(session / "square1", "-o", "none", *KNOWN).returncode == 4
    assert not (tmp_path / "none").exists()


def test_failed_movies_keep_no_memory(align, session, monkeypatch):
    held: list[weakref.ref[NDArray[np.uint8]]] = []

    def read_and_fail(*_: object, **__: object) -> None:
        assert all(frames() is None for frames in held)
        frames = np.zeros(5, np.uint8)
        held.append(weakref.ref(frames))
        raise UnreadableMovie("a frame is cut off")

    monkeypatch.setattr("preprocess.commands.align_run.process_movie", read_and_fail)
    assert align(session, "-o", "out", *KNOWN).returncode == 4
    assert len(held) == 4


@pytest.mark.parametrize(("option", "what"), [("--gain", "the gain reference"), ("--defects", "the file of defects")])
def test_a_missing_file_is_an_error_at_once(align, session, option, what):
    done = align(session, session / "nowhere.mrc", "-o", "out", *KNOWN)
    assert (done.returncode, "nowhere.mrc: No such file" in done.stderr) == (2, True)
    done = align(session, "-o", "out", option, "gone.mrc", *KNOWN)
    assert (done.returncode, f"{what} gone.mrc: No such file" in done.stderr) == (2, True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_whole_files_and_resume_goes_on(align, session, tmp_path, ending):
    for number in range(3):
        shutil.copy(session / "square1/a.mrc", session / f"square2/c{number:02d}.mrc")
    out = tmp_path / "out"
    with subprocess.Popen(
        [*COMMAND, "align", str(session), "-o", str(out), "--star", *KNOWN],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if " aligned in " in line)
        process.send_signal(ending)
        rest = line + process.stderr.read()
        code = process.wait()
    lines = [one for one in rest.splitlines() if " aligned in " in one]
    assert 0 < len(lines) < 7
    if ending == signal.SIGKILL:
        assert not any((out / name).exists() for name in LISTS)
    else:
        assert code == 130
        assert "Traceback" not in rest
        names = [name.removeprefix(f"{out}/").removesuffix(".mrc") for name in listed(out / LISTS[0])]
        told = [one.split()[1].removesuffix(":").rpartition(".")[0] for one in lines]
        assert told in (names, names[:-1])  # the last may have been done in that moment
        assert f"interrupted: {len(names)} of 7 movies are done" in rest
        assert not list(out.rglob(".*"))
    finished = {path for path in out.rglob("*.json") if path.stat().st_size}
    for path in finished:
        for file in json.loads(path.read_text())["files"].values():
            assert (path.parent / file["name"]).stat().st_size == file["bytes"]
    before = {path: path.stat().st_mtime_ns for path in finished}
    resumed = align(session, "-o", out, "--resume", "--star", *KNOWN)
    assert resumed.returncode == 0, resumed.stderr
    assert len(listed(out / LISTS[0])) == 7
    assert f"{len(finished)} of 7 movies are done already" in resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    assert len(times(out)) == 7
    assert not list(out.rglob(".*"))


def test_a_reader_that_closes_the_pipe_ends_it_quietly_with_a_list_of_what_is_done(session, tmp_path):
    for number in range(6):
        shutil.copy(session / "square1/a.mrc", session / f"square2/c{number:02d}.mrc")
    with subprocess.Popen(
        [*COMMAND, "align", "session/square2", "-o", "out", "--star", "--json", *KNOWN],
        env=clean_environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 1
    assert first["movie"] == "session/square2/a.mrc"
    assert "error" not in said.lower()
    assert "Traceback" not in said
    names = listed(tmp_path / "out" / LISTS[0])
    assert names[0] == "out/a.mrc"
    assert len(names) < 8
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_run_removes_what_killed_ones_left_in_its_folder(align, session, tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / f".{LISTS[0]}.{process_space()}-{process.pid}.partial"
    left.touch()
    assert align(session / "square1", "-o", "out", "--dry-run", *KNOWN).returncode == 0
    assert left.exists()
    assert align(session / "square1", "-o", "out", *KNOWN).returncode == 0
    assert not list((tmp_path / "out").glob(".*"))
