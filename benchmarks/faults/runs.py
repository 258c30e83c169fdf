"""Runs cryoferry and RELION on a movie with a fault, and compares the shifts that they find with the truth."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.alignment.motion_fields import relion_field
from benchmarks.errors import ProgramFailed, ResultUnreadable, TookTooLong
from benchmarks.faults.fault import Fault, FaultyMovie
from benchmarks.faults.scene import DOSE_PER_FRAME_E_PER_A2, PIXEL_SIZE_ANGSTROM, VOLTAGE_KV
from benchmarks.measuring import measure

RELION_PROGRAM = "relion_run_motioncorr"
CAP_S = 120.0
_KNOWN = (f"{PIXEL_SIZE_ANGSTROM:g}", f"{VOLTAGE_KV:g}", f"{DOSE_PER_FRAME_E_PER_A2:g}")
_STEM = "movie"


@dataclass(frozen=True, slots=True)
class FaultRun:
    """What programs made of one movie.

    Attributes
    ----------
    error_px, relion_error_px : float | None
        Root mean square of the shifts' error for each axis, mean error removed, over frames with signal; None: the
        program made nothing.
    warnings : tuple[str, ...]
        Codes of cryoferry's warnings.
    refusal, relion_refusal : str
        Why a program made nothing; empty if it did.
    """

    kind: str
    name: str
    seed: int
    error_px: float | None
    relion_error_px: float | None
    warnings: tuple[str, ...]
    refusal: str = ""
    relion_refusal: str = ""


def run_fault(fault: Fault, seed: int, work: Path, *, with_relion: bool) -> FaultRun:
    """Make the movie of a fault and a seed in an empty folder, align it, and remove it."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        movie = fault.make(seed)
        movie.write(work / f"{_STEM}.mrc")
        shifts, warnings, refusal = _cryoferry(work, fault.options)
        theirs, their_refusal = _relion(work, fault.relion_options) if with_relion else (None, "not run")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return FaultRun(
        fault.kind, fault.name, seed, _error(movie, shifts), _error(movie, theirs), warnings, refusal, their_refusal
    )


def _error(movie: FaultyMovie, found: NDArray[np.float64] | None) -> float | None:
    if found is None:
        return None
    if len(found) != len(movie.shifts):
        return float("inf")
    known = np.delete(found - movie.shifts, list(movie.without_signal), 0)
    return float(np.sqrt(((known - known.mean(0)) ** 2).mean()))


def _cryoferry(work: Path, options: Sequence[str]) -> tuple[NDArray[np.float64] | None, tuple[str, ...], str]:
    command = [sys.executable, "-m", "cryoferry", "align", f"{_STEM}.mrc", "--out", "own", "--device", "cpu"]
    command += ["--pixel-size", _KNOWN[0], "--voltage", _KNOWN[1], "--dose-per-frame", _KNOWN[2], "--patches", "1x1"]
    command += ["--no-ctf"]
    try:
        measure([*command, *options], cwd=work, log=work / "own.log", cap_s=CAP_S)
    except (ProgramFailed, TookTooLong) as error:
        return None, (), str(error)
    document = json.loads((work / "own" / f"{_STEM}.json").read_text("utf-8"))
    motion = document["motion"]
    codes = tuple(dict.fromkeys(document["warning_codes"]))
    return np.stack([motion["shifts_y_px"], motion["shifts_x_px"]], 1), codes, ""


def _relion(work: Path, options: Sequence[str]) -> tuple[NDArray[np.float64] | None, str]:
    (work / "relion").mkdir()
    command = [RELION_PROGRAM, "--i", f"{_STEM}.mrc", "--o", "relion/", "--use_own", "--j", "2", "--bin_factor", "1"]
    command += ["--angpix", _KNOWN[0], "--voltage", _KNOWN[1], "--dose_per_frame", _KNOWN[2], "--preexposure", "0"]
    command += ["--bfactor", "150", "--patch_x", "1", "--patch_y", "1", "--dose_weighting", "--ps_size", "128"]
    try:
        measure([*command, *options], cwd=work, log=work / "relion.log", cap_s=CAP_S)
        field = relion_field(work / "relion" / f"{_STEM}.star", with_local_model=False)
    except (ProgramFailed, TookTooLong, ResultUnreadable) as error:
        return None, str(error)
    return field.coefficients[:, :, 0], ""
