"""Measures a movie on a CUDA device in a separate process; says what to do if no device answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.alignment.movies import BenchMovie
from benchmarks.device.figures import DeviceFigures, device_figures
from benchmarks.errors import DeviceMissing, NothingToMeasure, ProgramFailed
from benchmarks.measuring import measure

REPEATS = 5
ANSWER_S = 180.0
"""A driver may wait for ever; CuPy takes some seconds to be imported for the first time."""
_CHILD = (sys.executable, "-m", "benchmarks.device.child")


def require_device(device: str) -> None:
    """Make sure that a device can be measured.

    Raises
    ------
    NothingToMeasure
        The name is neither `cpu` nor `cuda:N`.
    DeviceMissing
        The CUDA device does not answer; the text says why, the hint what to do.
    """
    if device == "cpu":
        return
    if not re.fullmatch(r"cuda:\d+", device):
        raise NothingToMeasure(f"--device {device}: give cpu or cuda:N", hint="The first CUDA device is cuda:0.")
    try:
        done = subprocess.run(
            [*_CHILD, device],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_S,
        )
    except subprocess.TimeoutExpired:
        raise DeviceMissing(f"no CUDA device answers as {device} within {ANSWER_S:.0f} s") from None
    lines = done.stdout.strip().splitlines()
    report = json.loads(lines[-1]) if done.returncode == 0 and lines else {"error": _last_line(done.stderr), "hint": ""}
    if "error" in report:
        raise DeviceMissing(f"no CUDA device answers as {device}: {report['error']}")


def measure_on_device(
    movie: BenchMovie, device: str, work: Path, *, threads: int, environment: Mapping[str, str]
) -> DeviceFigures:
    """Measure a movie on a device that answers.

    Raises
    ------
    ProgramFailed
        The movie cannot be aligned there.
    """
    work.mkdir(parents=True, exist_ok=True)
    request = {
        "movie": str(movie.path),
        "out": str(work / "out"),
        "repeats": REPEATS,
        "threads": threads,
        "bin_factor": movie.bin_factor,
        "gain": None if movie.gain is None else str(movie.gain),
        "eer_frames": movie.hardware_frames_per_frame,
        "acquisition": _acquisition(movie),
    }
    (work / "request.json").write_text(json.dumps(request), "utf-8")
    took = measure(
        [*_CHILD, device, str(work / "request.json")], cwd=work, log=work / "stderr.log", environment=environment
    )
    report = json.loads(took.stdout.splitlines()[-1])
    if "error" in report:
        raise ProgramFailed(f"{movie.label} on {device}: {report['error']}", hint=report["hint"])
    return device_figures(report, movie.label)


def _acquisition(movie: BenchMovie) -> dict[str, Any]:
    return {
        "pixel_size_angstrom": movie.pixel_size_angstrom,
        "voltage_kv": movie.voltage_kv,
        "dose_per_frame_e_per_a2": movie.dose_per_frame_e_per_a2,
    }


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a word"])[-1]
