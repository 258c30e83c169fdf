"""The programs that are measured side by side: how each is called, and where its results lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alignment.motion_fields import MotionField, PolynomialField, relion_field, whole_frame_field
from benchmarks.alignment.movies import BenchMovie
from benchmarks.errors import NothingToMeasure, ResultUnreadable

RELION = "relion"
CRYOFERRY = "cryoferry"
RELION_SPECTRUM_PX = 512


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a program made: its weighted micrograph, and what it reports of motion and of its stages' times."""

    micrograph: Path
    motion: MotionField | None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program. `program` is what must be on the PATH; `how_to_get` is for people who lack it."""

    name: str
    program: str
    how_to_get: str
    command: Callable[[BenchMovie, Path, int], list[str]]
    result: Callable[[BenchMovie, Path, str], RunResult]

    @property
    def is_there(self) -> bool:
        """Tell whether the program can be run."""
        return shutil.which(self.program) is not None


def align_command(movie: BenchMovie, files: Sequence[Path], out: Path, threads: int, device: str) -> list[str]:
    """Return the command that aligns files, all like `movie`, with this cryoferry on a device."""
    command = [sys.executable, "-m", "cryoferry", "align", *map(str, files), "--out", str(out), "--overwrite", "--json"]
    command += ["--pixel-size", f"{movie.pixel_size_angstrom:g}", "--voltage", f"{movie.voltage_kv:g}"]
    command += ["--dose-per-frame", f"{movie.dose_per_frame_e_per_a2:g}"]
    command += ["--device", device, "--threads", f"{threads}", "--bin", f"{movie.bin_factor}"]
    if movie.gain is not None:
        command += ["--gain", str(movie.gain)]
    if movie.hardware_frames_per_frame is not None:
        command += ["--eer-frames", f"{movie.hardware_frames_per_frame}"]
    return command


def cryoferry_command(movie: BenchMovie, out: Path, threads: int, *more: str, device: str = "cpu") -> list[str]:
    """Return the command that aligns a movie with this cryoferry: weighted and unweighted micrograph, no CTF."""
    return [*align_command(movie, [movie.path], out, threads, device), "--no-ctf", "--unweighted", "--float32", *more]


def cryoferry_result(movie: BenchMovie, out: Path, stdout: str) -> RunResult:
    """Return what `cryoferry align` made: its own field from STEM.json, its seconds from what it printed."""
    results = out / f"{movie.path.stem}.json"
    try:
        document = json.loads(results.read_text("utf-8"))
        report = json.loads(stdout.splitlines()[-1])
        motion = _cryoferry_field(movie, document["motion"])
    except (OSError, ValueError, LookupError) as error:
        raise ResultUnreadable(f"{results}: {error!r}") from error
    local = document["motion"]["local"]
    notes = {"local_model": local["used"], "why": local["reason"], "warnings": document["warnings"]}
    return RunResult(out / f"{movie.path.stem}.mrc", motion, report["seconds"], notes)


def _cryoferry_field(movie: BenchMovie, motion: dict[str, Any]) -> MotionField:
    """Return the field that STEM.json holds: whole-frame shifts, or each frame's polynomial."""
    shifts = np.stack([motion["shifts_y_px"], motion["shifts_x_px"]], axis=1)
    local = motion["local"]
    if not local["used"]:
        return whole_frame_field(movie.height, movie.width, shifts)
    coefficients = np.stack([local["coefficients_y_px"], local["coefficients_x_px"]], axis=1)
    return PolynomialField(movie.height, movie.width, coefficients)


def relion_command(movie: BenchMovie, out: Path, threads: int) -> list[str]:
    """Return the command for RELION's own implementation: weighted and unweighted micrograph, power spectrum."""
    command = [
        "relion_run_motioncorr",
        "--i",
        _readable_by_relion(movie).name,
        "--o",
        f"{out}/",
        "--use_own",
        "--j",
        f"{threads}",
    ]
    command += ["--bin_factor", f"{movie.bin_factor}", "--bfactor", "150"]
    command += ["--angpix", f"{movie.pixel_size_angstrom:g}", "--voltage", f"{movie.voltage_kv:g}"]
    command += ["--dose_per_frame", f"{movie.dose_per_frame_e_per_a2:g}", "--preexposure", "0"]
    command += ["--patch_x", "5", "--patch_y", "5", "--dose_weighting", "--save_noDW", "--grouping_for_ps", "4"]
    if min(movie.height, movie.width) // movie.bin_factor <= RELION_SPECTRUM_PX:
        command += ["--ps_size", "128"]  # RELION aborts when the picture is smaller than its power spectrum
    if movie.gain is not None:
        command += ["--gainref", os.path.relpath(movie.gain, movie.path.parent)]
    if movie.hardware_frames_per_frame is not None:
        command += ["--eer_grouping", f"{movie.hardware_frames_per_frame}"]
    return command


def relion_result(movie: BenchMovie, out: Path, _stdout: str) -> RunResult:
    """Return what RELION made."""
    stem = _readable_by_relion(movie).stem
    return RunResult(out / f"{stem}.mrc", relion_field(out / f"{stem}.star"))


def _readable_by_relion(movie: BenchMovie) -> Path:
    """Return the movie without half precision, which RELION reads since version 4."""
    return movie.without_float16 or movie.path


def motioncor3_command(movie: BenchMovie, out: Path, _threads: int) -> list[str]:
    """Return the command for MotionCor3 with the same patches, weighting and gain."""
    kind = {".eer": "-InEer", ".mrc": "-InMrc", ".mrcs": "-InMrc"}.get(movie.path.suffix.lower(), "-InTiff")
    command = ["MotionCor3", kind, movie.path.name, "-OutMrc", f"{out / movie.path.stem}.mrc", "-Patch", "5", "5"]
    command += ["-PixSize", f"{movie.pixel_size_angstrom:g}", "-kV", f"{movie.voltage_kv:g}"]
    command += ["-FmDose", f"{movie.dose_per_frame_e_per_a2:g}", "-FtBin", f"{movie.bin_factor}"]
    if movie.gain is not None:
        command += ["-Gain", os.path.relpath(movie.gain, movie.path.parent)]
    return command


def motioncor3_result(movie: BenchMovie, out: Path, _stdout: str) -> RunResult:
    """Return MotionCor3's weighted micrograph; its log holds no field that could be evaluated elsewhere."""
    return RunResult(out / f"{movie.path.stem}_DW.mrc", None)


def _whole_frame_command(movie: BenchMovie, out: Path, threads: int) -> list[str]:
    return cryoferry_command(movie, out, threads, "--patches", "1x1")


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(CRYOFERRY, sys.executable, "", cryoferry_command, cryoferry_result),
        Contestant("cryoferry-1x1", sys.executable, "", _whole_frame_command, cryoferry_result),
        Contestant(
            RELION, "relion_run_motioncorr", "Debian and Ubuntu: apt-get install relion", relion_command, relion_result
        ),
        Contestant(
            "motioncor3",
            "MotionCor3",
            "it needs an NVIDIA GPU: github.com/czimaginginstitute/MotionCor3",
            motioncor3_command,
            motioncor3_result,
        ),
    )
}


def on_device(device: str) -> Contestant:
    """Return cryoferry on a CUDA device as a contestant."""
    command = partial(cryoferry_command, device=device)
    return Contestant(f"{CRYOFERRY}-{device}", sys.executable, "", command, cryoferry_result)


def chosen_contestants(names: list[str]) -> tuple[list[Contestant], list[Contestant]]:
    """Return the contestants that can be run and those that are missing here; without names, all are wanted.

    Raises
    ------
    NothingToMeasure
        A name is unknown, a program that was named is missing, or no program is installed.
    """
    for name in names:
        if name not in CONTESTANTS:
            raise NothingToMeasure(f"no program is called {name}", hint=f"Programs: {', '.join(CONTESTANTS)}.")
        if not CONTESTANTS[name].is_there:
            raise NothingToMeasure(f"{name} is not on the PATH", hint=f"{CONTESTANTS[name].how_to_get}.")
    wanted = [CONTESTANTS[name] for name in dict.fromkeys(names)] or list(CONTESTANTS.values())
    return [one for one in wanted if one.is_there], [one for one in wanted if not one.is_there]


def program_version(contestant: Contestant) -> str:
    """Return a program's version, one line."""
    if contestant.program == sys.executable:
        done = subprocess.run(
            [sys.executable, "-m", "cryoferry", "--version"], capture_output=True, text=True, check=False
        )
    else:
        done = subprocess.run([contestant.program, "--version"], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
