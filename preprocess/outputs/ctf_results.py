"""STEM_ctf.json: what `cryoferry ctf` found in an image, from what, and which files it wrote; written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.optics import CtfOptics
from preprocess.escaped_names import escaped
from preprocess.made_from import file_sample
from preprocess.outputs.ctf_files import ctf_files
from preprocess.outputs.finished import checked_report, is_our_image, is_our_report, read_report
from preprocess.outputs.output_names import CTF_RESULTS
from preprocess.outputs.report import ctf_section, report_text, software_label
from preprocess.outputs.whole_files import write_bytes
from preprocess.settings import CtfSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfMadeFrom:
    """An image and a request; equal ones need no second estimation.

    Attributes
    ----------
    image_bytes
        Size of the image's file.
    image_sample
        SHA-256 of four parts of it, spread from its beginning to its end.
    request
        SHA-256 of settings and optics, those of the image's header among them.
    """

    image_bytes: int
    image_sample: str
    request: str


def ctf_made_from(image: Path, optics: CtfOptics, settings: CtfSettings) -> CtfMadeFrom:
    """Return what an image's results would be made from now; a few small parts of the image are read.

    Raises
    ------
    OSError
        The image cannot be read.
    """
    size, sample = file_sample(image)
    asked = json.dumps({"optics": asdict(optics), "settings": asdict(settings)}, sort_keys=True)
    request = hashlib.sha256(asked.encode("utf-8")).hexdigest()
    return CtfMadeFrom(image_bytes=size, image_sample=sample, request=request)


def write_ctf_outputs(
    image: Path,
    paths: Mapping[str, Path],
    estimate: CtfEstimate,
    optics: CtfOptics,
    settings: CtfSettings,
    made_from: CtfMadeFrom,
) -> list[str]:
    """Write all files about an image's CTF, the JSON last; return their roles.

    Files of these roles that an earlier run left and this one does not make are removed.

    Parameters
    ----------
    paths
        Where each output goes, by role, whether it will be written or not.
    """
    paths[CTF_RESULTS].unlink(missing_ok=True)  # it says that all the others are there, and whole
    contents = ctf_files(estimate, optics, settings, image.name)
    for role, content in contents.items():
        write_bytes(paths[role], content)
    for role in paths.keys() - {*contents, CTF_RESULTS}:
        paths[role].unlink(missing_ok=True)
    sections = {
        "software": software_label(),
        "image": escaped(image.name),
        "made_from": asdict(made_from),
        "optics": asdict(optics),
        "parameters": asdict(settings),
        "ctf": ctf_section(estimate),
        "files": {role: {"name": paths[role].name, "bytes": len(content)} for role, content in contents.items()},
    }
    write_bytes(paths[CTF_RESULTS], report_text(sections).encode("utf-8"))
    return [*contents, CTF_RESULTS]


def finished_ctf_report(image: Path, results: Path, wanted: CtfMadeFrom) -> dict[str, Any]:
    """Return the content of STEM_ctf.json if all files of an image are there, whole, and what would be made now.

    Raises
    ------
    NotFinished
    """
    asked = asdict(wanted)
    return checked_report(
        results,
        image,
        asked.pop("request"),
        asked,
        says_other_request="other settings",
        says_changed="the image changed",
    )


def aligned_ctf_file(paths_of_movie: Mapping[str, Path]) -> Path | None:
    """Return a file about the CTF that `cryoferry align` wrote for a movie, by its STEM.json; None if there is none."""
    aligned = read_report(paths_of_movie["results"])
    if aligned is None or not is_our_report(aligned) or not isinstance(aligned.get("files"), dict):
        return None
    return next((paths_of_movie[role] for role in aligned["files"] if role.startswith("ctf_")), None)


def is_of_ctf_command(paths: Mapping[str, Path], paths_of_movie: Mapping[str, Path]) -> bool:
    """Return whether `cryoferry ctf` wrote what is in an image's place, also where it was killed.

    Parameters
    ----------
    paths, paths_of_movie
        Where this command's outputs go, and where those of a movie of the image's name would be.
    """
    aligned = read_report(paths_of_movie["results"])
    if aligned is not None and is_our_report(aligned):
        return False  # they are results of `cryoferry align`
    report = read_report(paths[CTF_RESULTS])
    return is_our_image(paths["ctf_spectrum"]) if report is None else is_our_report(report)
