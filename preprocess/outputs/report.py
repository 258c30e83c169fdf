"""STEM.json: every parameter and result of a processed movie, the same text when made again."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from preprocess.escaped_names import encodable, escaped
from preprocess.exposure.acquisition import Acquisition
from preprocess.made_from import DECIDES_NOTHING
from preprocess.movies import Movie
from preprocess.settings import AlignmentSettings

DIGITS = 6
"""Significant digits of every number: more than any of them is known to, fewer than would differ between machines."""


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
