"""The first run on a GPU: its end where there is none, and its parts over the stand-in for CuPy."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import kernels_on_host
import numpy as np
import pytest
from cuda_on_host import cuda_on_host
from cupy_elsewhere import CupyElsewhere
from cupy_on_host import PlannedFault

from benchmarks.device.first_run import FirstRun
from preprocess.movies import open_movie
from tests.waiting import wait_until

SMALL, SMALLER = "6x128x160", "3x80x96"
needs_compiler = pytest.mark.skipif(kernels_on_host.compiler() is None, reason="no C++ compiler for the kernels")


def first_run(out: Path, *parts: str, **environment: str) -> tuple[int, list[dict]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.device.first_run", str(out), *parts],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FIRST_RUN_SHAPE": SMALL, **environment},
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told, done.stderr
    assert told == [json.loads(line) for line in (out / "first_run.jsonl").read_text().splitlines()][-len(told) :]
    return done.returncode, told


@needs_compiler
def test_parts_compare_the_device_with_the_cpu_and_tell_what_they_found(tmp_path: Path) -> None:
    elsewhere = CupyElsewhere(tmp_path / "cupy")
    code, told = first_run(tmp_path / "out", "kernels", "prepare", "decode", "deflate", **elsewhere.environment)
    assert code == 0, told
    compared = [each["differ"] for each in told if "differ" in each]
    assert compared == [[]] * 7
    assert [each["sound"] for each in told if "sound" in each] == [True] * 4
    assert [each["part"] for each in told if "nvCOMP is not installed" in each.get("skipped", "")] == ["deflate"]
    code, told = first_run(tmp_path / "out", "decode", FIRST_RUN_SHAPE=SMALLER, **elsewhere.environment)
    assert code == 0, told  # as sanitizers do after that, with movies of another size in the same folder


@needs_compiler
def test_a_part_that_fails_is_told_and_the_next_one_runs(tmp_path: Path) -> None:
    elsewhere = CupyElsewhere(tmp_path / "cupy")
    elsewhere.plant(PlannedFault("hold_frames", "CompileException", 6))
    code, told = first_run(tmp_path / "out", "kernels", "facts", **elsewhere.environment)
    assert code == 3
    failed, *ends = [each for each in told if "failed" in each or "sound" in each]
    assert "CompileException" in failed["text"]
    assert [(each["part"], each["sound"]) for each in ends] == [("kernels", False), ("facts", True)]


def test_without_a_device_the_end_says_so(tmp_path: Path) -> None:
    code, told = first_run(tmp_path / "out", **CupyElsewhere(tmp_path / "cupy", devices=0).environment)
    assert code == 2
    assert "no CUDA device answers" in told[-1]["failed"]
    assert "doctor" in told[-1]["hint"]


def test_a_part_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    code, told = first_run(tmp_path / "out", "everything")
    assert code == 2
    assert "there is no part everything" in told[-1]["failed"]
    assert "sanitizers" in told[-1]["failed"]


@pytest.mark.parametrize("ends", [0, 1])
def test_a_frame_that_differs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: int) -> None:
    """One that was made for this movie, or one that repeats it."""
    monkeypatch.setenv("FIRST_RUN_SHAPE", SMALL)
    with cuda_on_host() as host:
        sys.modules.pop("benchmarks.device.first_run_parts", None)
        parts = importlib.import_module("benchmarks.device.first_run_parts")
        movie = open_movie(parts._noise(tmp_path, 64))
        frames = host.cupy.array(np.stack(list(movie.frames())))
        assert parts._differing(movie, frames) == []
        frames[(2, 5)[ends]][7, 9] = 77
        assert parts._differing(movie, frames) == [(2, 5)[ends]]
    sys.modules.pop("benchmarks.device.first_run_parts")


HANGING = """
import subprocess, sys, time
left_behind = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("told", left_behind.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_hangs_is_killed_with_all_it_started_and_what_it_told_is_kept(tmp_path: Path) -> None:
    ended = FirstRun(tmp_path).run([sys.executable, "-c", HANGING], 3.0, "hanging")
    assert ended.code == 124
    word, pid = ended.stdout.split()
    assert word == "told"
    assert "no end within 3 s" in ended.stderr
    assert (tmp_path / "hanging.txt").read_text() == ended.stdout
    wait_until(lambda: not _runs(int(pid)), "the program that was left behind to end")


def _runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie, which nobody may have waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_part_without_time_is_named_and_not_begun(tmp_path: Path) -> None:
    elsewhere = CupyElsewhere(tmp_path / "cupy")
    code, told = first_run(tmp_path / "out", "kernels", FIRST_RUN_MINUTES="0", **elsewhere.environment)
    assert code == 3
    assert "no time is left" in told[0]["failed"]
    assert told[-1]["sound"] is False
