"""`corrected_micrographs.star`: a batch of micrographs as RELION 3.1 to 5 list those of their own motion correction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preprocess.outputs.star_values import star_value
from preprocess.outputs.whole_files import write_bytes
from preprocess.results import MOTION_EARLY, MOTION_LATE, MOTION_TOTAL, ProcessedMovie

FILE_NAME = "corrected_micrographs.star"
FILES = {
    "rlnMicrographName": "micrograph",
    "rlnMicrographNameNoDW": "micrograph_unweighted",
    "rlnMicrographNameEven": "micrograph_even",
    "rlnMicrographNameOdd": "micrograph_odd",
    "rlnMicrographMetadata": "motion_star",
}

Row = dict[str, str]


def write_micrographs_star(path: Path, results: Sequence[ProcessedMovie]) -> None:
    """Write the file, whole or not at all; files are named as their paths were given, so run RELION where these hold.

    Micrographs of equal optics share a group; what is unknown (a voltage that no dose weighting needed) is left out.
    """
    groups: dict[tuple[tuple[str, str], ...], Row] = {}
    micrographs = []
    for result in results:
        optics = _optics(result)
        group = groups.setdefault(
            tuple(optics.items()),
            {"rlnOpticsGroupName": f"opticsGroup{len(groups) + 1}", "rlnOpticsGroup": f"{len(groups) + 1}", **optics},
        )
        files = {name: file for name, role in FILES.items() if (file := result.file(role)) is not None}
        micrographs.append(
            {name: star_value(str(file)) for name, file in files.items()}
            | {
                "rlnOpticsGroup": group["rlnOpticsGroup"],
                "rlnAccumMotionTotal": f"{result.figures[MOTION_TOTAL]:.6f}",
                "rlnAccumMotionEarly": f"{result.figures[MOTION_EARLY]:.6f}",
                "rlnAccumMotionLate": f"{result.figures[MOTION_LATE]:.6f}",
            }
        )
    text = _table("optics", list(groups.values())) + _table("micrographs", micrographs)
    write_bytes(path, text.encode("utf-8", "surrogateescape"))  # a folder's name may be no UTF-8


def _optics(result: ProcessedMovie) -> Row:
    acquisition = result.acquisition
    known = {
        "rlnMicrographOriginalPixelSize": acquisition.pixel_size_angstrom,
        "rlnMicrographPixelSize": result.micrograph_pixel_size_angstrom,
        "rlnVoltage": acquisition.voltage_kv,
        "rlnSphericalAberration": acquisition.cs_mm,
        "rlnAmplitudeContrast": acquisition.amplitude_contrast,
    }
    return {name: f"{value:.6f}" for name, value in known.items() if value is not None}


def _table(name: str, rows: Sequence[Row]) -> str:
    columns = [column for column in rows[0] if all(column in row for row in rows)]
    lines = ["# version 30001", "", f"data_{name}", "", "loop_ "]
    lines += [f"_{column} #{number} " for number, column in enumerate(columns, start=1)]
    lines += [" ".join(row[column] for column in columns) for row in rows]
    return "\n".join(["", *lines, "", ""])
