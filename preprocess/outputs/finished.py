"""Which results are finished: made from this file and this request, by this version, and whole."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preprocess.made_from import MadeFrom
from preprocess.outputs.output_names import output_paths
from preprocess.outputs.report import software_label

_LABEL_OFFSET, _LABEL_BYTES, _OURS = 224, 80, "cryoferry"


class NotFinished(Exception):
    """The work is to be done; the text says why, empty where there are no results yet."""


def finished_report(movie: Path, out_dir: Path, wanted: MadeFrom) -> dict[str, Any]:
    """Return the content of STEM.json if all results of a movie are there, whole, and what would be made now.

    Raises
    ------
    NotFinished
    """
    asked = asdict(wanted)
    return checked_report(
        output_paths(movie, out_dir)["results"],
        movie,
        asked.pop("request"),
        asked,
        says_other_request="other settings, or its gain reference, defects or metadata changed",
        says_changed="the movie changed",
    )


def checked_report(
    path: Path, source: Path, request: str, identity: Mapping[str, Any], *, says_other_request: str, says_changed: str
) -> dict[str, Any]:
    """Return the content of a results' JSON if the files that it lists are there, whole, and what would be made now.

    Parameters
    ----------
    path
        The JSON file.
    source
        What the results were made from.
    request
        Digest of what is asked for now.
    identity
        What stands in the report's `made_from` about the source, if it is the same file.
    says_other_request, says_changed
        What the error says if the request, or the source, is another one.

    Raises
    ------
    NotFinished
    """
    report = read_report(path)
    if report is None:
        raise NotFinished
    made = report.get("made_from")
    if not isinstance(made, dict) or not isinstance(report.get("files"), dict):
        raise NotFinished("its results do not say what they were made from")
    if report.get("software") != software_label():
        raise NotFinished(f"its results were made by {report.get('software')}")
    if made.get("request") != request:
        raise NotFinished(f"its results were made with {says_other_request}")
    if any(made.get(name) != value for name, value in identity.items()) or _changed_since(source, path):
        raise NotFinished(says_changed)
    for file in report["files"].values():
        name = file.get("name", "")
        if _size(path.parent / name) != file.get("bytes"):
            raise NotFinished(f"{name} is not whole, or gone")
    return report


def is_ours(movie: Path, out_dir: Path) -> bool:
    """Return whether the results in a movie's place were written by this program, also where it was killed."""
    paths = output_paths(movie, out_dir)
    report = read_report(paths["results"])
    return is_our_image(paths["micrograph"]) if report is None else is_our_report(report)


def is_our_report(report: Mapping[str, Any]) -> bool:
    """Return whether this program, in any version, wrote a results' JSON."""
    return str(report.get("software", "")).startswith(_OURS)


def is_our_image(path: Path) -> bool:
    """Return whether a file is an MRC image that this program wrote, by its first label."""
    try:
        with path.open("rb") as file:
            file.seek(_LABEL_OFFSET)
            return file.read(_LABEL_BYTES).startswith(_OURS.encode("ascii"))
    except OSError:
        return False


def read_report(path: Path) -> dict[str, Any] | None:
    """Return the content of a results' JSON; None if there is none that can be read."""
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
