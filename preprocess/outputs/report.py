"""STEM.json: every parameter and result of a processed movie, the same text when made again."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from preprocess.ctf.estimate import CtfEstimate
from preprocess.escaped_names import encodable, escaped
from preprocess.exposure.acquisition import Acquisition
from preprocess.made_from import DECIDES_NOTHING
from preprocess.movies import Movie
from preprocess.settings import AlignmentSettings

DIGITS = 6
"""Significant digits of every number: more than any of them is known to, fewer than would differ between machines."""
CTF_RESOLUTION_DEFINITION = "CTFFIND: local correlation below 0.5 after more than three values above 0.66"
"""How the fit resolution is read from the correlation of spectrum and fit; other programs have other definitions."""


def software_label() -> str:
    """Return the name and version of this software."""
    return f"cryoferry {version('cryoferry')}"


def report_text(sections: dict[str, Any]) -> str:
    """Return sections as JSON, numbers rounded to 6 significant digits, NaN and infinity as null."""
    return json.dumps(_plain(sections), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def movie_section(movie: Movie) -> dict[str, Any]:
    """Describe the movie's file; by name, because its folder is no property of the result."""
    return {
        "name": escaped(movie.path.name),
        "format": movie.format,
        "width_px": movie.width,
        "height_px": movie.height,
        "frame_count": movie.frame_count,
        "number_type": str(movie.dtype),
        "hardware_frames_per_frame": movie.hardware_frames_per_frame,
    }


def parameters_section(settings: AlignmentSettings, gain_digest: str | None) -> dict[str, Any]:
    """List the settings that decide the result, with the digest of the gain reference; the number of threads does not.

    Parameters
    ----------
    gain_digest
        BLAKE3 of the gain reference's file.
    """
    parameters = dataclasses.asdict(settings)
    for name in DECIDES_NOTHING:
        del parameters[name]
    parameters["gain"]["digest"] = gain_digest
    return parameters


def acquisition_section(acquisition: Acquisition) -> dict[str, Any]:
    """List what is known about the exposure, and who says it."""
    return dataclasses.asdict(acquisition)


def ctf_section(ctf: CtfEstimate | None) -> dict[str, Any] | None:
    """List what was found about the contrast transfer function; not the curves, which have files of their own."""
    if ctf is None:
        return None
    return {
        "defocus_u_angstrom": ctf.defocus_u_angstrom,
        "defocus_v_angstrom": ctf.defocus_v_angstrom,
        "astigmatism_angle_degrees": ctf.angle_degrees,
        "phase_shift_degrees": ctf.phase_shift_degrees if ctf.phase_shift_searched else None,
        "fit_resolution_angstrom": ctf.fit_resolution_angstrom,
        "fit_resolution_definition": CTF_RESOLUTION_DEFINITION,
        "score": ctf.score,
        "mean_defocus_error_angstrom": ctf.sigma_angstrom,
        "astigmatism_error_angstrom": ctf.sigma_astigmatism_angstrom,
        "significance": ctf.significance,
        "margin": ctf.margin,
        "reliable": ctf.reliable,
        "reason": ctf.reason,
        "tilt_degrees": ctf.tilt_degrees,
        "tilt_axis_degrees": ctf.tilt_axis_degrees,
        "thickness_angstrom": ctf.thickness_angstrom,
        "ice": dataclasses.asdict(ctf.ice),
        "tile_count": ctf.tile_count,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return escaped(value.name)
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else None
    return value
