"""`cryoferry align` as its users meet it: what it writes, prints, refuses, and how it exits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import starfile
import tifffile
from cuda_on_host import cuda_on_host

from preprocess.commands import align_run as aligning
from preprocess.escaped_names import escaped, unescaped
from preprocess.outputs.micrographs_star import FILE_NAME
from preprocess.pipeline.overlapping import process_movies
from preprocess.simulation import SimulationSettings, simulate_movie
from tests.running import cryoferry, cryoferry_here

KNOWN = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "0.83", "--device", "cpu", "--threads", "1")


class Answer(NamedTuple):
    exit_code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    movie = simulate_movie(SimulationSettings(height=192, width=256, frame_count=4, seed=1))
    movie.write(folder / "a.tiff")
    movie.write(folder / "b.mrc")
    movie.write_gain(folder / "gain.mrc", movie_format="mrc")
    (folder / "bad.tiff").write_bytes((folder / "a.tiff").read_bytes()[:9000])
    (folder / "empty.tiff").touch()
    return folder


@pytest.fixture
def align(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Answer:
        done = cryoferry_here(monkeypatch, capsys, "align", *args)
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


def test_a_movie_needs_no_configuration(movies: Path, tmp_path: Path) -> None:
    """In a process of its own, as a user would run it."""
    done = cryoferry("align", movies / "a.tiff", "--out", tmp_path / "out", *KNOWN, "--no-ctf", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    heading, row = done.stdout.splitlines()
    assert heading.split()[0] == "movie"
    assert row.split()[0] == "a.tiff"
    assert row.rstrip().endswith("a.mrc"), "a pipe cuts no line"
    line, gain = done.stderr.splitlines()
    assert line.startswith("1/1 a.tiff: aligned in ")
    assert gain.startswith("a.tiff: the gain reference is gain.mrc: it is the only one in the folder ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a.json", "a.mrc", "a.png", "a.star", "a_motion.png", "a_spectrum.png")
    ]


def test_json_is_an_object_a_movie_and_a_failed_one_does_not_stop_the_others(align, movies, tmp_path):
    answer = align(
        movies / "a.tiff", movies / "bad.tiff", movies / "b.mrc", "--out", tmp_path / "out", "--json", *KNOWN
    )
    assert answer.exit_code == 3
    first, failed, last = answer.objects
    assert first["movie"] == str(movies / "a.tiff")
    assert Path(first["files"]["micrograph"]).is_file()
    assert len(first["shifts_y_px"]) == 4
    assert set(first["seconds"]) == {"read", "align", "sum", "ctf", "write"}
    assert failed["error"]["type"] == "UnreadableMovie"
    assert failed["error"]["exit_code"] == 4
    assert Path(last["files"]["micrograph"]).name == "b.mrc"
    assert "bad.tiff" in answer.err


def test_what_the_ctf_is_estimated_with_and_nobody_gave_is_said_once(align, movies, tmp_path):
    assumed = align(movies / "a.tiff", movies / "b.mrc", "--out", tmp_path / "out", *KNOWN, "--cs", "2.7").err
    assert "a.tiff: the CTF is estimated with amplitude contrast 0.1, which nobody gave: give --amp" in assumed
    assert assumed.count("which nobody gave") == 1
    given = ("--cs", "2.7", "--amplitude-contrast", "0.1")
    assert "nobody gave" not in align(movies / "a.tiff", "--out", tmp_path / "other", *KNOWN, *given).err


def test_on_a_device_movies_overlap_and_nothing_else_changes(align, movies, tmp_path):
    named = (movies / "a.tiff", movies / "bad.tiff", movies / "b.mrc")
    alone, reading = [], []

    def watched(movie_paths, *more):
        reading.append(list(movie_paths))
        return process_movies(movie_paths, *more)

    with cuda_on_host(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(aligning, "process_movies", watched)
        on_device = (*KNOWN, "--device", "cuda:0")
        answer = align(*named, "--out", tmp_path / "together", "--json", *on_device)
        assert reading == [list(named)]
        for movie in named[::2]:
            alone += align(movie, "--out", tmp_path / "alone", "--json", *on_device).objects
        assert len(reading) == 1  # one movie has nothing to overlap with
    assert answer.exit_code == 3
    first, failed, last = answer.objects
    assert failed["error"]["type"] == "UnreadableMovie"
    for together, one in zip((first, last), alone, strict=True):
        assert together["device"] == one["device"] == "cuda:0"
        for role, path in together["files"].items():
            assert Path(path).read_bytes() == Path(one["files"][role]).read_bytes()
    assert "bad.tiff" in answer.err


@pytest.mark.parametrize(("name", "exit_code"), [("bad.tiff", 4), ("empty.tiff", 4), ("nowhere.tiff", 2)])
def test_the_only_movie_s_failure_is_the_command_s(align, movies, tmp_path, name, exit_code):
    answer = align(movies / name, "--out", tmp_path / "out", *KNOWN)
    assert answer.exit_code == exit_code
    assert name in answer.err.replace("\n", "")
    assert answer.out == ""


def test_two_movies_of_one_name_are_refused_at_once(align, movies, tmp_path):
    (tmp_path / "a.mrc").touch()
    answer = align(movies / "a.tiff", tmp_path / "a.mrc", "--out", tmp_path / "out", *KNOWN)
    assert answer.exit_code == 2
    told = answer.err.replace("\n", "")
    assert str(movies / "a.tiff") in told
    assert str(tmp_path / "a.mrc") in told
    assert not (tmp_path / "out").exists()


def test_results_are_replaced_only_when_told_so(align, movies, tmp_path):
    assert align(movies / "a.tiff", "--out", tmp_path / "out", *KNOWN).exit_code == 0
    before = (tmp_path / "out" / "a.mrc").stat().st_mtime_ns
    again = align(movies / "a.tiff", "--out", tmp_path / "out", *KNOWN)
    assert again.exit_code == 2
    assert "--overwrite" in again.err
    assert (tmp_path / "out" / "a.mrc").stat().st_mtime_ns == before
    assert align(movies / "a.tiff", "--out", tmp_path / "out", "--overwrite", *KNOWN).exit_code == 0
    assert (tmp_path / "out" / "a.mrc").stat().st_mtime_ns != before


def test_a_movie_in_its_own_folder_is_not_written_over(align, movies):
    before = (movies / "b.mrc").read_bytes()
    answer = align(movies / "b.mrc", "--out", movies, "--overwrite", *KNOWN)
    assert answer.exit_code == 2
    assert (movies / "b.mrc").read_bytes() == before


def test_dry_run_tells_and_writes_nothing(align, movies, tmp_path):
    answer = align(movies / "a.tiff", "--out", tmp_path / "out", "--dry-run", "--json", "--even-odd", *KNOWN)
    assert answer.exit_code == 0
    names = {Path(path).name for path in answer.objects[0]["would_write"]}
    assert {"a.mrc", "a_EVN.mrc", "a_ODD.mrc", "a.json"} <= names
    assert "a_noDW.mrc" not in names
    assert not (tmp_path / "out").exists()


def test_a_dry_run_ends_as_the_alignment_would_and_names_what_is_missing(align, movies, tmp_path):
    named = (movies / "a.tiff", movies / "bad.tiff", "--out", tmp_path / "out", "--dry-run")
    some = align(*named, "--json", *KNOWN)
    assert some.exit_code == 3
    good, bad = some.objects
    assert (good["would"], bad["would"]) == ("align", "refuse")
    assert good["acquisition"]["sources"]["voltage_kv"] == "flag"
    assert good["frames"]["count"] == 4
    assert good["total_dose_e_per_a2"] == pytest.approx(4 * 0.83)
    assert bad["problems"][0]["exit_code"] == 4
    told = align(*named)
    assert told.exit_code == 1, "one is for a person to decide, the other is damaged"
    assert "2 movies: 0 would be aligned, 2 would be refused; nothing was done" in told.err
    assert "  exposure    1.1 Å (header), voltage not known" in told.out
    assert not (tmp_path / "out").exists()


def test_an_unknown_dose_is_asked_for(align, movies, tmp_path):
    answer = align(movies / "a.tiff", "--out", tmp_path / "out", "--pixel-size", "1.1", "--device", "cpu")
    assert answer.exit_code == 2
    told = " ".join(answer.err.split())
    assert "the voltage and the dose" in told
    assert "--voltage and --dose-per-frame (or --total-dose)" in told
    assert "--no-dose-weighting" in told


def test_all_unknown_facts_are_named_at_once(align, tmp_path):
    movie = simulate_movie(SimulationSettings(height=64, width=64, frame_count=2, gain=False))
    movie.write(tmp_path / "bare.tiff")
    stripped = tifffile.imread(tmp_path / "bare.tiff")
    tifffile.imwrite(tmp_path / "bare.tiff", stripped, photometric="minisblack")
    answer = align("bare.tiff", "--out", "out", "--json")
    assert answer.exit_code == 2
    (error,) = (told["error"] for told in answer.objects)
    assert error["message"].startswith("bare.tiff: the pixel size, the voltage and the dose of the movie are not known")
    assert "--pixel-size, --voltage and --dose-per-frame" in error["hint"]
    only = align("bare.tiff", "--out", "out", "--json", "--no-dose-weighting").objects[0]["error"]
    assert only["message"].startswith("bare.tiff: the pixel size of the movie is not known")
    assert only["hint"] == "Give --pixel-size."


@pytest.mark.parametrize(
    ("name", "exit_code", "told"),
    [
        ("notes.xyz", 4, ".eer, .mrc, .mrcs, .tif, .tiff"),
        ("folder", 4, "no movie in the folder folder"),
        ("notes", 4, "there is no extension"),
        ("nowhere.tiff", 2, "nowhere.tiff"),
    ],
)
def test_what_is_no_movie_is_refused_with_a_hint(align, tmp_path, name, exit_code, told):
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.xyz").touch()
    (tmp_path / "notes").touch()
    answer = align(name, "--out", "out", *KNOWN)
    assert answer.exit_code == exit_code
    assert told in " ".join(answer.err.split())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(align, movies, tmp_path):
    (tmp_path / "taken").touch()
    for out, told in (("taken", "taken is a file"), ("taken/below", "taken is a file"), ("/proc/x", "/proc/x")):
        answer = align(movies / "bad.tiff", "--out", out, *KNOWN)
        assert answer.exit_code == 2, "the movie is bad, too; the folder comes first"
        assert told in " ".join(answer.err.split())
    assert align(movies / "bad.tiff", "--out", tmp_path / "new/deep", *KNOWN).exit_code == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_flags_win_over_the_configuration_and_each_source_is_said(align, movies, tmp_path):
    (tmp_path / "cryoferry.toml").write_text("[align]\nvoltage = 200\npixel-size = 2.0\ndose-per-frame = 0.5\n")
    answer = align(movies / "a.tiff", "--out", tmp_path / "out", "--pixel-size", "1.1", "--device", "cpu", "--json")
    assert answer.exit_code == 0, answer.err
    acquisition = answer.objects[0]["acquisition"]
    assert (acquisition["pixel_size_angstrom"], acquisition["voltage_kv"]) == (1.1, 200)
    assert acquisition["sources"]["pixel_size_angstrom"] == "flag"
    assert acquisition["sources"]["voltage_kv"] == "configuration"


@pytest.mark.parametrize(
    ("flags", "decision"),
    [
        ((), "kept"),
        (("--gain-orientation", "given"), "given"),
        (("--gain-rotate", "0"), "given"),
        (("--gain-flip", "none", "--gain-orientation", "auto"), "given"),
    ],
)
def test_the_orientation_of_the_gain_is_found_unless_it_is_given(align, movies, tmp_path, flags, decision):
    answer = align(movies / "b.mrc", "--out", tmp_path, "--gain", movies / "gain.mrc", *flags, *KNOWN, "--json")
    gain = {"rotate_degrees": 0, "flip": "none", "operation": "auto", "decision": decision}
    gain |= {"file": "gain.mrc", "found_by": ""}
    assert [told["gain"] for told in answer.objects] == [gain]


def test_help_tells_every_option(align):
    told = " ".join(align("--help").out.split())
    for option in ("--pixel-size", "--gain-rotate", "--eer-frames", "--even-odd", "--overwrite", "--device"):
        assert option in told


def test_the_batch_is_listed_for_relion(align, movies, tmp_path):
    answer = align(
        *(movies / "a.tiff", movies / "b.mrc", movies / "bad.tiff", "--out", "out", "--star", "--unweighted"),
        *("--pre-exposure", "1.5", *KNOWN),
    )
    assert answer.exit_code == 3
    listed = starfile.read(tmp_path / "out" / "corrected_micrographs.star")
    assert listed["optics"]["rlnMicrographOriginalPixelSize"].tolist() == [1.1]
    micrographs = listed["micrographs"]
    assert micrographs["rlnMicrographName"].tolist() == ["out/a.mrc", "out/b.mrc"]
    assert micrographs["rlnMicrographNameNoDW"].tolist() == ["out/a_noDW.mrc", "out/b_noDW.mrc"]
    assert micrographs["rlnMicrographPreExposure"].tolist() == [1.5, 1.5]
    for name in micrographs["rlnMicrographMetadata"]:
        assert (tmp_path / name).is_file()
    assert (micrographs["rlnAccumMotionTotal"] > 0).all()


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="RELION is missing: apt-get install relion")
def test_relion_reads_the_list(align, movies, tmp_path):
    assert align(movies / "a.tiff", movies / "b.mrc", "--out", "out", "--star", "--even-odd", *KNOWN).exit_code == 0
    subprocess.run(
        [
            *("relion_star_handler", "--i", "out/corrected_micrographs.star", "--o", "some.star"),
            *("--select", "rlnAccumMotionTotal", "--minval", "0", "--maxval", "1e9"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    kept = starfile.read(tmp_path / "some.star")
    assert kept["micrographs"]["rlnMicrographName"].tolist() == ["out/a.mrc", "out/b.mrc"]
    assert float(kept["optics"]["rlnVoltage"].iloc[0]) == 300


def test_odd_names_are_shown_escaped_and_written(align, tmp_path):
    names = [b"Gr\xe9 \n.mrc", b"[red]#a'b\".mrc", b"l" * 251 + b".mrc", "\u202egnp\x1b[31m.mrc".encode()]
    source, out = tmp_path / "movies", tmp_path / os.fsdecode(b"out\xe9 1")
    source.mkdir()
    made = simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, seed=1, gain=False))
    for name in names:
        made.write(source / os.fsdecode(name))
    movies = sorted(source.iterdir())
    bad = source / os.fsdecode(b"bad\xe9\x1b.tiff")
    bad.touch()
    texts = {escaped(str(movie)) for movie in (*movies, bad)}
    answer = align(*movies, bad, "--out", out, "--star", "--json", *KNOWN)
    assert answer.exit_code == 3
    assert {one["movie"] for one in answer.objects} == texts
    files = {unescaped(path) for one in answer.objects for path in one.get("files", {}).values()}
    assert {Path(path) for path in files} == {path for path in out.iterdir() if path.name != FILE_NAME}
    table = (out / FILE_NAME).read_bytes()
    assert table.count(os.fsencode(out)) == 2 * len(movies), "RELION finds the files: their names are as on disk"
    told = align(*movies, "--out", out, "--overwrite", *KNOWN)
    assert told.exit_code == 0
    assert r"[red]#a'b" in told.out
    for text in (answer.out, answer.err, told.out, told.err):
        assert text.encode()
        assert all(mark.isprintable() or mark == "\n" for mark in text), text
