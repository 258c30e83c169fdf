"""`corrected_micrographs.star`: a batch of micrographs as RELION 3.1 to 5 list those of their own motion correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from preprocess.outputs.report import DIGITS
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


@dataclass(frozen=True, slots=True)
class ListedMicrograph:
    """What the list says of one movie: what its optics were, where its files are, how much it moved."""

    optics: Row
    files: Mapping[str, Path]
    motion: Row

    @classmethod
    def of_result(cls, result: ProcessedMovie) -> Self:
        """Return what it says of a movie that was processed now."""
        acquisition = result.acquisition
        return cls(
            _optics(
                acquisition.pixel_size_angstrom,
                result.micrograph_pixel_size_angstrom,
                (acquisition.voltage_kv, acquisition.cs_mm, acquisition.amplitude_contrast),
            ),
            {file.role: file.path for file in result.files},
            _motion(*(result.figures[name] for name in (MOTION_TOTAL, MOTION_EARLY, MOTION_LATE))),
        )

    @classmethod
    def of_report(cls, report: Mapping[str, Any], folder: Path) -> Self:
        """Return what it says of a movie that was processed before, by the content of its STEM.json."""
        acquisition, motion = report["acquisition"], report["motion"]
        return cls(
            _optics(
                acquisition["pixel_size_angstrom"],
                report["micrograph"]["pixel_size_angstrom"],
                (acquisition["voltage_kv"], acquisition["cs_mm"], acquisition["amplitude_contrast"]),
            ),
            {role: folder / file["name"] for role, file in report["files"].items()},
            _motion(*(motion[name] or 0.0 for name in ("total_angstrom", "early_angstrom", "late_angstrom"))),
        )


def write_micrographs_star(path: Path, listed: Sequence[ListedMicrograph]) -> None:
    """Write the file, whole or not at all; files are named as their paths were given, so run RELION where these hold.

    Micrographs of equal optics share a group; what is unknown (a voltage that no dose weighting needed) is left out.
    """
    groups: dict[tuple[tuple[str, str], ...], Row] = {}
    micrographs = []
    for each in listed:
        group = groups.setdefault(
            tuple(each.optics.items()),
            {"rlnOpticsGroupName": f"opticsGroup{len(groups) + 1}", "rlnOpticsGroup": f"{len(groups) + 1}"}
            | each.optics,
        )
        files = {name: each.files[role] for name, role in FILES.items() if role in each.files}
        micrographs.append(
            {name: star_value(str(file)) for name, file in files.items()}
            | {"rlnOpticsGroup": group["rlnOpticsGroup"]}
            | each.motion
        )
    text = _table("optics", list(groups.values())) + _table("micrographs", micrographs)
    write_bytes(path, text.encode("utf-8", "surrogateescape"))  # a folder's name may be no UTF-8


def _optics(pixel_size: float | None, of_micrograph: float, others: tuple[float | None, ...]) -> Row:
    names = (
        "rlnMicrographOriginalPixelSize",
        "rlnMicrographPixelSize",
        *("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"),
    )
    known = zip(names, (pixel_size, of_micrograph, *others), strict=True)
    return {name: _text(value) for name, value in known if value is not None}


def _motion(total: float, early: float, late: float) -> Row:
    named = {"rlnAccumMotionTotal": total, "rlnAccumMotionEarly": early, "rlnAccumMotionLate": late}
    return {name: _text(value) for name, value in named.items()}


def _text(value: float) -> str:
    """Return a number with no more digits than STEM.json has: those of now and of before are the same text."""
    return f"{float(f'{value:.{DIGITS}g}'):.6f}"


def _table(name: str, rows: Sequence[Row]) -> str:
    columns = [column for column in rows[0] if all(column in row for row in rows)]
    lines = ["# version 30001", "", f"data_{name}", "", "loop_ "]
    lines += [f"_{column} #{number} " for number, column in enumerate(columns, start=1)]
    lines += [" ".join(row[column] for column in columns) for row in rows]
    return "\n".join(["", *lines, "", ""])
