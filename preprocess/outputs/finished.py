"""Which results are finished: made from this movie and this request, by this version, and whole."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preprocess.made_from import MadeFrom
from preprocess.outputs.output_names import output_paths
from preprocess.outputs.report import software_label

_LABEL_OFFSET, _LABEL_BYTES, _OURS = 224, 80, "cryoferry"


class NotFinished(Exception):
    """The movie must be aligned; the text says why, empty where there are no results yet."""


def finished_report(movie: Path, out_dir: Path, wanted: MadeFrom) -> dict[str, Any]:
    """Return the content of STEM.json if all results of a movie are there, whole, and what would be made now.

    Raises
    ------
    NotFinished
    """
    path = output_paths(movie, out_dir)["results"]
    report = _report(path)
    if report is None:
        raise NotFinished
    made = report.get("made_from")
    if not isinstance(made, dict) or not isinstance(report.get("files"), dict):
        raise NotFinished("its results do not say what they were made from")
    if report.get("software") != software_label():
        raise NotFinished(f"its results were made by {report.get('software')}")
    asked = asdict(wanted)
    if made.get("request") != asked.pop("request"):
        raise NotFinished(
            "its results were made with other settings, or its gain reference, defects or metadata changed"
        )
    if any(made.get(name) != value for name, value in asked.items()) or _changed_since(movie, path):
        raise NotFinished("the movie changed")
    for file in report["files"].values():
        name = file.get("name", "")
        if _size(out_dir / name) != file.get("bytes"):
            raise NotFinished(f"{name} is not whole, or gone")
    return report


def is_ours(movie: Path, out_dir: Path) -> bool:
    """Return whether the results in a movie's place were written by this program, also where it was killed."""
    paths = output_paths(movie, out_dir)
    report = _report(paths["results"])
    if report is not None:
        return str(report.get("software", "")).startswith(_OURS)
    try:
        with paths["micrograph"].open("rb") as file:
            file.seek(_LABEL_OFFSET)
            return file.read(_LABEL_BYTES).startswith(_OURS.encode("ascii"))
    except OSError:
        return False


def _report(path: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def _changed_since(movie: Path, results: Path) -> bool:
    """Return whether a movie was written to after its results. A clock that is ahead says nothing."""
    changed_s = movie.stat().st_mtime
    return results.stat().st_mtime < changed_s <= time.time()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
