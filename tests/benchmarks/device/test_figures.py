"""Figures of a device: arithmetic on given ones, and the whole measurement over the stand-in for CuPy."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from cuda_on_host import cuda_on_host
from rich.console import Console

from benchmarks.alignment.movies import BenchMovie
from benchmarks.alignment.runs import AlignRun
from benchmarks.alignment.summary import summarise
from benchmarks.alignment.sustained import Sustained, link_movies
from benchmarks.device import child as device_child
from benchmarks.device.figures import device_figures
from benchmarks.device.tables import device_tables
from preprocess.simulation import SimulationSettings, simulate_movie

TOLD = {
    "device": "cuda:0",
    "name": "a device",
    "movies": 4,
    "seconds_per_movie": 0.75,
    "stage_seconds": {"read": 0.5, "align": 0.1, "sum": 0.1, "write": 0.05},
    "copy_bytes_per_s": {"on_device": 2e12, "upload": 25e9, "download": 20e9},
    "stages": [
        {"stage": "upload", "ms": 80.0, "bytes": 1_000_000_000, "flop": 0},
        {"stage": "decode", "ms": 40.0, "bytes": 20_000_000_000, "flop": 0},
        {"stage": "warp", "ms": 16.0, "bytes": 16_000_000_000, "flop": 80_000_000_000},
        {"stage": "nothing", "ms": 0.0, "bytes": 5, "flop": 7},
        {"stage": "download", "ms": 20.0, "bytes": 200_000_000, "flop": 0},
    ],
    "peak_bytes": 6_500_000_000,
    "total_bytes": 80_000_000_000,
}


def test_stages_of_one_movie_against_plain_copying():
    figures = device_figures(TOLD, "k3 0")
    upload, decode, warp, nothing, download = figures.stages
    assert [stage.kind for stage in figures.stages] == ["transfer", "decode", "compute", "compute", "transfer"]
    assert (warp.ms, warp.bytes, warp.flop) == (4.0, 4e9, 2e10)
    assert warp.bytes_per_s == pytest.approx(1e12)
    assert warp.flop_per_s == pytest.approx(5e12)
    assert warp.of_copying == pytest.approx(0.5)  # of the device's own memory
    assert decode.of_copying == pytest.approx(0.25)
    assert upload.of_copying == pytest.approx(0.5)  # of the bus, upwards
    assert download.of_copying == pytest.approx(0.5)
    assert (nothing.bytes_per_s, nothing.flop_per_s, nothing.of_copying) == (None, None, None)
    assert figures.ms_by_kind() == pytest.approx({"transfer": 25, "decode": 10, "compute": 4})
    assert json.loads(json.dumps(figures.as_object()))["ms_by_kind"]["decode"] == 10


def sustained(**figures):
    return Sustained(
        preset="k3", device="cuda:0", process="worker", movies=200, distinct_files=3, file_bytes=10**9, **figures
    )


def run(program, wall_s):
    return AlignRun(
        preset="k3", movie="m", seed=0, pixels=1, frame_count=1, program=program, repeat=0, command=[], wall_s=wall_s
    )


def test_the_tables_are_100_columns_wide_and_hold_the_figures():
    console = Console(file=io.StringIO(), width=100)
    rows = [sustained(movies_per_hour=4321.4, read_bytes_per_s=3.2e8, cpu_s=55.5, peak_bytes=2 * 10**9)]
    rows.append(sustained(failure="no"))
    summaries = summarise([run("relion", 36.0), run("cryoferry", 9.0)])
    for table in device_tables([device_figures(TOLD, "k3 0")], rows, summaries):
        console.print(table)
    text = console.file.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "warp compute 4.00 4.000 1000 50% 20.0 5.00" in lines
    assert "upload transfer 20.00 0.250 12 50% 0.0 0.00" in lines
    assert "plain copying: 2000 GB/s on the device, up 25.0, down 20.0; memory peak 6.50 GB of 80" in lines
    assert "transfer 25.0 ms, decode 10.0 ms, the rest 4.0 ms; file to files 0.75 s" in lines
    assert "k3 worker cuda:0 200 3 4321 320 55.5 2.00" in lines
    assert "k3 relion one by one 100" in lines
    assert any(line.startswith("k3 worker cuda:0 failed") for line in lines)


def bench_movie(path, **more):
    known = {"pixel_size_angstrom": 1.1, "voltage_kv": 300.0, "dose_per_frame_e_per_a2": 0.83}
    return BenchMovie(path=path, preset="", seed=None, gain=None, height=96, width=128, frame_count=5, **known, **more)


def test_files_go_in_turns_under_names_of_their_own(tmp_path):
    for name, content in (("a.tiff", b"a"), ("b.tiff", b"b")):
        (tmp_path / name).write_bytes(content)
    links = link_movies([bench_movie(tmp_path / "a.tiff"), bench_movie(tmp_path / "b.tiff")], 5, tmp_path / "links")
    assert [link.read_bytes() for link in links] == [b"a", b"b", b"a", b"b", b"a"]
    assert len({link.stem for link in links}) == 5


def test_own_movies_of_one_kind_go_together():
    one, other = bench_movie(Path("a.tiff")), bench_movie(Path("b.tiff"))
    assert one.kind == other.kind
    assert one.kind != bench_movie(Path("b.eer"), hardware_frames_per_frame=8).kind
    assert replace(one, preset="k3").kind == replace(other, preset="k3", gain=Path("gain.mrc")).kind


def test_a_movie_is_measured_on_the_device(tmp_path, monkeypatch, capsys):
    """The whole path of a measurement; the figures themselves are this host's, and mean nothing."""
    simulate_movie(SimulationSettings(height=96, width=128, frame_count=5, seed=1)).write(tmp_path / "a.tiff")
    movie = bench_movie(tmp_path / "a.tiff")
    request = {
        "movie": str(movie.path),
        "out": str(tmp_path / "out"),
        "repeats": 2,
        "threads": 1,
        "bin_factor": 1,
        "gain": None,
        "eer_frames": None,
        "acquisition": {
            name: value for name, value in asdict(movie).items() if name.endswith(("angstrom", "kv", "e_per_a2"))
        },
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    with cuda_on_host() as host:
        monkeypatch.setattr(host.module("gauges"), "COPIED_BYTES", 2**16)
        monkeypatch.setattr(sys, "argv", ["device_child", "cuda:0", str(tmp_path / "request.json")])
        device_child.main()
        assert host.cupy.get_default_memory_pool().total_bytes() == 0  # what was copied is not in the way
    figures = device_figures(json.loads(capsys.readouterr().out), movie.label)
    assert (figures.name, figures.movies) == ("this host", 2)
    assert set(figures.stage_seconds) == {"read", "align", "sum", "ctf", "write"}
    assert {"warp", "transform"} <= {stage.stage for stage in figures.stages}
    warp = next(stage for stage in figures.stages if stage.stage == "warp")
    frames, images = 5 * 96 * 128, 4 * 96 * 128
    assert warp.bytes >= frames + 2 * images  # of one movie, and not of two or three
    assert warp.bytes < 2 * (frames + 8 * images)
    assert warp.of_copying is not None
    assert 0 < figures.peak_bytes <= figures.total_bytes
    assert (tmp_path / "out" / "a_noDW.mrc").exists()


def test_a_device_that_does_not_answer_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["device_child", "cuda:63"])
    device_child.main()
    told = json.loads(capsys.readouterr().out)
    assert "cuda:63" in told["error"]
    assert "--device cpu" in told["hint"]
