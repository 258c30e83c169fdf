"""How `cryoferry ctf` tells what became of its micrographs: a line, a JSON object, a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from preprocess.commands.folder_walk import InputInFolder
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.optics import CtfOptics
from preprocess.errors import PreprocessError
from preprocess.escaped_names import encodable, escaped
from preprocess.movie_warning import MovieWarning
from preprocess.outputs.report import CTF_RESOLUTION_DEFINITION, DIGITS


@dataclass(frozen=True, slots=True)
class EstimatedMicrograph:
    """A micrograph's CTF, with what it was estimated by, and the files that were written."""

    estimate: CtfEstimate
    optics: CtfOptics
    warnings: tuple[MovieWarning, ...]
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class CtfEnd:
    """A micrograph, and its CTF or the error that it ended with; seconds are those of the clock on the wall."""

    micrograph: InputInFolder
    result: EstimatedMicrograph | PreprocessError
    seconds: float


def ctf_object(end: CtfEnd) -> dict[str, Any]:
    """Return what `--json` prints about a micrograph; lengths in Å, angles in degrees, null where nothing is known."""
    micrograph = {"micrograph": escaped(str(end.micrograph.path))}
    if isinstance(end.result, PreprocessError):
        error = end.result
        report = {
            "type": type(error).__name__,
            "message": encodable(str(error)),
            "hint": encodable(error.hint),
            "exit_code": error.exit_code,
        }
        return micrograph | {"error": report}
    found, optics = end.result.estimate, end.result.optics
    values: dict[str, Any] = {
        "defocus_u": found.defocus_u_angstrom,
        "defocus_v": found.defocus_v_angstrom,
        "angle": found.angle_degrees,
        "phase_shift": found.phase_shift_degrees,
        "fit_resolution": found.fit_resolution_angstrom,
        "score": found.score,
        "sigma": found.sigma_angstrom,
        "reliable": found.reliable,
        "reason": found.reason,
        "astigmatism": found.astigmatism_angstrom,
        "sigma_astigmatism": found.sigma_astigmatism_angstrom,
        "phase_shift_searched": found.phase_shift_searched,
        "fit_resolution_definition": CTF_RESOLUTION_DEFINITION,
        "tilt": found.tilt_degrees,
        "tilt_axis": found.tilt_axis_degrees,
        "thickness": found.thickness_angstrom,
        "ice_ring_density": found.ice.ring_density,
        "ice_relative_thickness": found.ice.relative_thickness,
        "iciness": found.ice.iciness,
        "pixel_size": optics.pixel_size_angstrom,
        "voltage_kv": optics.voltage_kv,
        "cs_mm": optics.cs_mm,
        "amplitude_contrast": optics.amplitude_contrast,
        "warnings": [{"code": each.code, "text": encodable(each.text)} for each in end.result.warnings],
        "files": {role: escaped(str(path)) for role, path in end.result.files.items()},
        "seconds": round(end.seconds, 3),
    }
    return micrograph | {name: _rounded(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else None


def ctf_line(end: CtfEnd, number: int, count: int) -> str:
    """Return a line about a micrograph that has ended, for a log."""
    begin = f"{number}/{count} {escaped(end.micrograph.name)}:"
    if isinstance(end.result, PreprocessError):
        return f"{begin} failed after {end.seconds:.1f} s"
    found = end.result.estimate
    said = f"defocus {found.mean_defocus_angstrom / 1e4:.2f} µm, fit to {_resolution(found)} Å"
    return f"{begin} {said}, {'reliable' if found.reliable else 'not reliable'}, in {end.seconds:.1f} s"


def ctf_remarks(end: CtfEnd) -> list[str]:
    """Return what a user should know about a micrograph: the error, the warnings, or why it is not reliable."""
    if isinstance(end.result, PreprocessError):
        message = str(end.result).removeprefix(f"{end.micrograph.path}: ")  # whose name the caller says
        return [f"{message}; what to do: {end.result.hint}"]
    found = end.result.estimate
    unreliable = [] if found.reliable else [f"not reliable: {found.reason}"]
    return [f"warning: {warning.text}" for warning in end.result.warnings] + unreliable


def ctf_table(ends: Sequence[CtfEnd]) -> Table:
    """Return the table of all micrographs."""
    results = [end.result for end in ends if isinstance(end.result, EstimatedMicrograph)]
    with_phase = any(result.estimate.phase_shift_searched for result in results)
    rows = Table(box=None, header_style="bold", pad_edge=False)
    rows.add_column("micrograph")
    names = ["defocus U, µm", "V, µm", "± Å", "astigmatism, Å", "angle, °"]
    for name in [*names, *(["phase shift, °"] if with_phase else []), "fit, Å", "score"]:
        rows.add_column(name, justify="right")
    rows.add_column("")
    for end in ends:
        name = escaped(end.micrograph.name)
        if isinstance(end.result, PreprocessError):
            rows.add_row(name, *[""] * (len(rows.columns) - 2), Text("failed", "red"))
            continue
        found = end.result.estimate
        rows.add_row(
            name,
            f"{found.defocus_u_angstrom / 1e4:.2f}",
            f"{found.defocus_v_angstrom / 1e4:.2f}",
            f"{found.sigma_angstrom:.0f}",
            f"{found.astigmatism_angstrom:.0f}",
            f"{found.angle_degrees:.1f}",
            *([f"{found.phase_shift_degrees:.1f}"] if with_phase else []),
            _resolution(found),
            f"{found.score:.3f}",
            "" if found.reliable else Text("not reliable", "yellow"),
        )
    return rows


def _resolution(found: CtfEstimate) -> str:
    return f"{found.fit_resolution_angstrom:.2f}" if math.isfinite(found.fit_resolution_angstrom) else "-"
