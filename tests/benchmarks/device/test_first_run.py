"""The first run on a GPU: its end where there is none, and its parts over the stand-in for CuPy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kernels_on_host
import pytest
from cupy_elsewhere import CupyElsewhere
from cupy_on_host import PlannedFault

SMALL = "3x128x160"
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
    assert told == [json.loads(line) for line in (out / "first_run.jsonl").read_text().splitlines()]
    return done.returncode, told


@needs_compiler
def test_parts_compare_the_device_with_the_cpu_and_tell_what_they_found(tmp_path: Path) -> None:
    elsewhere = CupyElsewhere(tmp_path / "cupy")
    code, told = first_run(tmp_path / "out", "kernels", "decode", **elsewhere.environment)
    assert code == 0, told
    compared = [each["differ"] for each in told if "differ" in each]
    assert compared == [[], [], []]
    assert [each["sound"] for each in told if "sound" in each] == [True, True]


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
