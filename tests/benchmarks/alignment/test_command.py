"""`cryoferry bench align` as a user runs it, on movies that take seconds."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.alignment.presets import PRESETS, find_preset, parse_seeds
from benchmarks.alignment.runs import AlignRun
from benchmarks.alignment.scaling import LENGTHS, SIZES, scaling
from benchmarks.alignment.summary import summarise
from benchmarks.errors import NothingToMeasure
from tests.running import cryoferry, cryoferry_here

ROOT = Path(__file__).parents[3]


def bench(*arguments, cwd, **environment):
    return cryoferry("bench", "align", *arguments, cwd=cwd, **{"COLUMNS": "100", **environment})


def path_without_relion(folder):
    """A PATH on which there is nothing but this Python."""
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    return str(folder / "bin")


def test_a_tiny_preset_without_relion(tmp_path):
    done = bench("small@192x256x5", "--seeds", "1", "--json", cwd=tmp_path, PATH=path_without_relion(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "cryoferry-bench/align.json").read_text())
    assert "apt-get install relion" in told["missing"]["relion"]
    assert "relion is not on the PATH; Debian" in done.stderr
    ours, whole = told["summary"]
    assert (ours["program"], whole["program"], ours["runs"]) == ("cryoferry", "cryoferry-1x1", 1)
    assert ours["failures"] == []
    assert 0 < ours["field_px"] < 2
    assert ours["frc"][2] > 0.3
    assert 5e7 < ours["peak_bytes"] < 1e9
    assert {"read", "align", "sum", "write"} <= set(ours["stage_seconds"])
    assert sum(ours["stage_seconds"].values()) < ours["wall_s"]["median"]
    cold, warm = told["first_runs"]
    assert min(cold["cpu_s"], warm["cpu_s"]) > 0.3
    assert max(len(line) for line in done.stderr.splitlines() if "wrote" not in line and "PATH" not in line) <= 100
    for name in ("align_cost", "align_error", "align_frc"):
        with Image.open(tmp_path / f"cryoferry-bench/{name}.png") as picture:
            assert min(picture.size) > 150
            assert len(picture.getcolors(100_000)) > 20
    assert not (tmp_path / "cryoferry-bench/work").exists()


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="RELION is missing: apt-get install relion")
def test_relion_gets_integers_for_half_precision(tmp_path):
    done = bench(
        *("falcon-mrc@512x640x4", "--programs", "cryoferry,relion", "--no-first-movie", "--json"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = json.loads(done.stdout)["summary"]
    assert (ours["program"], theirs["program"]) == ("cryoferry", "relion")
    assert 0 < ours["field_px"] < 2
    assert 0 < theirs["field_px"] < 2
    movies = {
        path.name: path.stat().st_size for path in (tmp_path / "cryoferry-bench/movies").glob("falcon-mrc*/*0*.mrc")
    }
    assert movies == dict.fromkeys(["falcon-mrc_0.mrc", "falcon-mrc_0_int16.mrc"], 1024 + 2 * 512 * 640 * 4)


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="RELION is missing: apt-get install relion")
def test_own_movies_against_relion(tmp_path):
    made = cryoferry(
        *("simulate", "--out", "movies", "--size", "256x320", "--frames", "6"),
        *("--dose-per-frame", "4", "--motion", "4", "--seed", "3"),
        cwd=tmp_path,
    )
    assert made.returncode == 0
    done = bench(
        *("--movies", "movies/simulated_0003.tiff", "--gain", "movies/gain_256x320.mrc", "--json"),
        *("--programs", "cryoferry,relion", "--no-first-movie"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = json.loads(done.stdout)["summary"]
    assert (ours["preset"], theirs["program"]) == ("simulated_0003.tiff", "relion")
    assert ours["field_px"] is None
    assert ours["motion_angstrom"] == pytest.approx(5, rel=0.4)  # 4 px of 1.1 Å and a jitter
    assert theirs["motion_angstrom"] > 2  # RELION goes astray on movies as small as this one
    assert ours["mutual_frc"]["relion"] == theirs["mutual_frc"]["cryoferry"]
    assert len(ours["mutual_frc"]["relion"]) == len(ours["frc_frequencies"]) == 20
    assert ours["mutual_frc"]["relion"][0] > 0.3
    assert ours["against_relion"]["faster"] > 0
    assert ours["against_relion"]["field_ratio"] is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "neither a preset nor"),
        (("huge",), "no preset is called huge"),
        (("small@12",), "HEIGHTxWIDTHxFRAMES"),
        (("small", "--seeds", "a"), "seeds"),
        (("small", "--programs", "unblur"), "no program is called unblur"),
        (("small", "--programs", "motioncor3"), "MotionCor3"),
        (("small", "--device", "gpu"), "--device gpu: give cpu or cuda:N"),
        (("--movies", "none.tiff"), "none.tiff: no such movie"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused(tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path_without_relion(tmp_path))
    done = cryoferry_here(monkeypatch, capsys, "bench", "align", *arguments)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert not (tmp_path / "cryoferry-bench").exists()


def test_a_program_that_fails_is_told_and_the_rest_goes_on(tmp_path):
    folder = tmp_path / "bin"
    path_without_relion(tmp_path)
    relion = folder / "relion_run_motioncorr"
    relion.write_text(f"#!{sys.executable}\nimport sys\nprint('no licence', file=sys.stderr)\nsys.exit(9)\n")
    relion.chmod(0o755)
    wanted = ("small@128x128x3", "--programs", "relion,cryoferry-1x1", "--no-first-movie", "--json")
    done = bench(*wanted, cwd=tmp_path, PATH=str(folder))
    assert done.returncode == 3
    theirs, ours = json.loads(done.stdout)["summary"]
    assert json.loads(done.stdout)["first_runs"] == []
    assert "exit code 9: no licence" in theirs["failures"][0]
    assert ours["failures"] == []
    assert ours["wall_s"] is not None


def test_a_dry_run_measures_nothing(tmp_path):
    done = bench("k3", "faint", "--seeds", "0-2", "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["presets"] == ["k3", "faint"]
    assert json.loads(done.stdout)["seeds"] == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


def test_where_no_cuda_device_answers_it_says_what_to_do(tmp_path):
    hidden = "import sys; sys.modules['cupy'] = None"  # as if CuPy were not installed, whatever this machine has
    (tmp_path / "sitecustomize.py").write_text(hidden)
    done = bench("small@64x64x2", "--device", "cuda:0", cwd=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert "no CUDA device answers as cuda:0: cuda:0: CuPy is not installed" in told
    assert "install the extra that `cryoferry doctor` names" in told
    assert "--device cpu measures everything else" in told
    assert not (tmp_path / "cryoferry-bench").exists()


def test_movies_an_hour_over_many_names_of_a_few_files(tmp_path):
    done = bench(
        *("small@128x160x4", "--seeds", "0,1", "--programs", "cryoferry-1x1", "--no-first-movie"),
        *("--sustained", "5", "--json", "--keep"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["process"] for row in told["sustained"]] == ["align", "worker"]
    sizes = [path.stat().st_size for path in (tmp_path / "cryoferry-bench/movies").glob("small@128*/*.tiff")]
    for row in told["sustained"]:
        assert (row["movies"], row["distinct_files"], row["device"], row["failure"]) == (5, 2, "cpu", None)
        assert row["file_bytes"] == sum(sizes)
        first_to_last_s = 4 * 3600 / row["movies_per_hour"]
        assert 0 < first_to_last_s < row["wall_s"]  # the start is not in it
        assert 2 * sum(sizes) - max(sizes) < row["read_bytes_per_s"] * first_to_last_s < 2 * sum(sizes) + 1
        assert row["cpu_s"] > 0.3  # of the process that aligned
    assert told["on_device"] == []
    assert "Movies an hour" in done.stderr
    assert "page cache" in done.stderr
    assert not (tmp_path / "cryoferry-bench/work/sustained").exists()


def test_seeds_and_presets():
    assert parse_seeds("0-2,7, 1") == [0, 1, 2, 7]
    assert all(find_preset(name) is preset for name, preset in PRESETS.items())
    assert find_preset("k3@100x200x7").about == "200 x 100 px, 7 frames; otherwise as k3"
    sized = find_preset("k3@100x200x7").settings
    assert (sized.height, sized.width, sized.frame_count, sized.pixel_size_angstrom) == (100, 200, 7, 0.83)
    assert len({PRESETS["small"].with_seed(seed).defocus_angstrom for seed in range(5)}) == 5
    with pytest.raises(NothingToMeasure):
        parse_seeds("")


def run(program, preset="small", seed=0, **figures):
    amounts = {"pixels": 100, "frame_count": 10} | figures
    return AlignRun(preset=preset, movie="m", seed=seed, program=program, repeat=0, command=[], **amounts)


def test_ratios_are_of_medians_and_means():
    frequencies = [0.05, 0.2]
    runs = [
        run("relion", wall_s=wall, cpu_s=8, peak_bytes=400, field_px=field, frc=frc, frc_frequencies=frequencies)
        for wall, field, frc in ((9, 0.2, [0.8, 0.2]), (10, 0.4, [0.6, 0.4]), (40, None, None))
    ]
    runs.append(
        run("cryoferry", wall_s=5, cpu_s=4, peak_bytes=100, field_px=0.1, frc=[0.69, 0.4], frc_frequencies=frequencies)
    )
    relion, ours = summarise(runs)
    assert relion.wall_s is not None
    assert (relion.wall_s.median, relion.wall_s.least, relion.wall_s.most) == (10, 9, 40)
    assert relion.against_relion is None
    against = ours.against_relion
    assert (against.faster, against.less_cpu, against.leaner) == (2, 2, 4)
    assert against.field_ratio == pytest.approx(1 / 3)
    assert against.least_frc_difference == pytest.approx(-0.01)
    assert against.least_fine_frc_difference == pytest.approx(0.1)


def test_exponents_of_known_growth():
    runs = [
        run("cryoferry", preset, pixels=side**2, frame_count=24, stage_seconds={"align": 3e-6 * side**2}, wall_s=9)
        for preset, side in zip(SIZES, (512, 1024, 2048), strict=True)
    ]
    lengths = zip(LENGTHS, (12, 24, 48, 96), strict=True)
    runs += [run("cryoferry", preset, frame_count=count, wall_s=count**2) for preset, count in lengths]
    found = {one.along: one for one in scaling(runs[:1] + runs[2:3] + [run("relion", SIZES[0], wall_s=1)])}
    assert found["pixels"].exponent == pytest.approx(1)
    assert {one.along: round(one.exponent, 6) for one in scaling(runs[3:])} == {"frames": 2}
