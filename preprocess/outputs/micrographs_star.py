"""Lists of a batch of micrographs, as RELION 3.1 to 5 list those of their own motion correction and CTF estimation.

`corrected_micrographs.star` has all of them, `micrographs_ctf.star` those with a reliable CTF, and
`micrographs_ctf_all.star` all that have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from preprocess.outputs.ctf_star import (
    ALL_STAR,
    RELIABLE,
    RELIABLE_STAR,
    CtfColumns,
    columns_of_figures,
    columns_of_section,
)
from preprocess.outputs.report import DIGITS
from preprocess.outputs.star_values import star_value, values_of
from preprocess.outputs.whole_files import write_bytes
from preprocess.results import MOTION_EARLY, MOTION_LATE, MOTION_TOTAL, ProcessedMovie

FILE_NAME = "corrected_micrographs.star"
FILES = {
    "rlnMicrographName": "micrograph",
    "rlnMicrographNameNoDW": "micrograph_unweighted",
    "rlnMicrographNameEven": "micrograph_even",
    "rlnMicrographNameOdd": "micrograph_odd",
    "rlnCtfPowerSpectrum": "power_spectrum",
    "rlnMicrographMetadata": "motion_star",
}
"""The columns of files, by role.

As `MotioncorrRunner::generateLogFilePDFAndWriteStarFiles` names them (RELION 5.0, src/motioncorr_runner.cpp; labels in
src/metadata_label.h), which writes even and odd sums, and the dose before, of tilts alone. RELION 3.1 does not know
even and odd sums, says so and goes on.
"""

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class ListedMicrograph:
    """What lists say of one movie: its optics, its files, how much it moved, its CTF, and the dose before it."""

    optics: Row
    files: Mapping[str, Path]
    motion: Row
    ctf: CtfColumns | None = None
    dose: Row = field(default_factory=dict)

    @classmethod
    def of_result(cls, result: ProcessedMovie) -> Self:
        """Return what it says of a movie that was processed now."""
        acquisition = result.acquisition
        return cls(
            optics_row(
                acquisition.pixel_size_angstrom,
                result.micrograph_pixel_size_angstrom,
                (acquisition.voltage_kv, acquisition.cs_mm, acquisition.amplitude_contrast),
            ),
            {file.role: file.path for file in result.files},
            _motion(*(result.figures[name] for name in (MOTION_TOTAL, MOTION_EARLY, MOTION_LATE))),
            columns_of_figures(result.figures),
            _dose(acquisition.pre_exposure_e_per_a2),
        )

    @classmethod
    def of_report(cls, report: Mapping[str, Any], folder: Path) -> Self:
        """Return what it says of a movie that was processed before, by the content of its STEM.json."""
        acquisition, motion = report["acquisition"], report["motion"]
        return cls(
            optics_row(
                acquisition["pixel_size_angstrom"],
                report["micrograph"]["pixel_size_angstrom"],
                (acquisition["voltage_kv"], acquisition["cs_mm"], acquisition["amplitude_contrast"]),
            ),
            {role: folder / file["name"] for role, file in report["files"].items()},
            _motion(*(motion[name] or 0.0 for name in ("total_angstrom", "early_angstrom", "late_angstrom"))),
            columns_of_section(report.get("ctf")),
            _dose(acquisition["pre_exposure_e_per_a2"]),
        )


def write_micrographs_star(path: Path, listed: Sequence[ListedMicrograph]) -> None:
    """Write the list of all, whole or not at all; files are named as their paths were given.

    So RELION has to run where these paths hold. Micrographs of equal optics share a group; what is unknown (a voltage
    that no dose weighting needed) is left out.
    """
    groups = _ListedOptics()
    rows = []
    for each in listed:
        files = {name: each.files[role] for name, role in FILES.items() if role in each.files}
        named = {name: star_value(str(file)) for name, file in files.items()}
        rows.append(named | {"rlnOpticsGroup": groups.number(each.optics)} | each.motion | each.dose)
    _write(path, groups, rows)


def write_ctf_stars(folder: Path, listed: Sequence[ListedMicrograph]) -> None:
    """Write the two lists of micrographs with a CTF; a list that would have no row is removed."""
    with_ctf = [(each, each.ctf) for each in listed if each.ctf is not None]
    reliable = [(each, columns) for each, columns in with_ctf if columns[RELIABLE]]
    for name, those in ((RELIABLE_STAR, reliable), (ALL_STAR, with_ctf)):
        groups = _ListedOptics()
        rows = [_ctf_row(each, columns, groups.number(each.optics)) for each, columns in those]
        if rows:
            _write(folder / name, groups, rows)
        else:
            (folder / name).unlink(missing_ok=True)


def listed_micrographs(path: Path) -> list[Path] | None:
    """Return the micrographs that a list names, whoever wrote it; None if it names none that can be read.

    Raises
    ------
    OSError
    """
    lines = path.read_text("utf-8", "surrogateescape").splitlines()
    label = "_rlnMicrographName"
    column = next((line.split()[1:] for line in lines if line.startswith(f"{label} ")), [])
    if not column or not column[0].removeprefix("#").isdecimal():
        return None
    index = int(column[0].removeprefix("#")) - 1
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"{label} "))
    rows = [values_of(line) for line in lines[begin:] if line.strip() and not line.startswith(("_", "#", "data_"))]
    return [Path(row[index]) for row in rows if len(row) > index] or None


def _ctf_row(listed: ListedMicrograph, columns: CtfColumns, group: str) -> Row:
    image = listed.files.get("ctf_spectrum")
    return {
        "rlnMicrographName": star_value(str(listed.files["micrograph"])),
        "rlnOpticsGroup": group,
        "rlnCtfImage": "None" if image is None else star_value(f"{image}:mrc"),
        **{name: _text(value) for name, value in columns.items()},
    }


class _ListedOptics:
    """The optics groups of one list, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self._groups: dict[tuple[tuple[str, str], ...], Row] = {}

    def number(self, optics: Row) -> str:
        """Return the number of the group of such optics."""
        number = f"{len(self._groups) + 1}"
        new = {"rlnOpticsGroupName": f"opticsGroup{number}", "rlnOpticsGroup": number} | optics
        return self._groups.setdefault(tuple(optics.items()), new)["rlnOpticsGroup"]

    def rows(self) -> list[Row]:
        """Return their table."""
        return list(self._groups.values())


def _write(path: Path, groups: _ListedOptics, rows: Sequence[Row]) -> None:
    text = _table("optics", groups.rows()) + _table("micrographs", rows)
    write_bytes(path, text.encode("utf-8", "surrogateescape"))  # a folder's name may be no UTF-8


def optics_row(pixel_size: float | None, of_micrograph: float, others: tuple[float | None, ...]) -> Row:
    """Return the optics: pixel size of the movie and of the micrograph, voltage, Cs, amplitude contrast."""
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


def _dose(before: float | None) -> Row:
    return {"rlnMicrographPreExposure": _text(before or 0.0)}


def _text(value: float) -> str:
    """Return a number with no more digits than STEM.json has: those of now and of before are the same text."""
    return f"{float(f'{value:.{DIGITS}g}'):.6f}"


def _table(name: str, rows: Sequence[Row]) -> str:
    columns = [column for column in rows[0] if all(column in row for row in rows)]
    lines = ["# version 30001", "", f"data_{name}", "", "loop_ "]
    lines += [f"_{column} #{number} " for number, column in enumerate(columns, start=1)]
    lines += [" ".join(row[column] for column in columns) for row in rows]
    return "\n".join(["", *lines, "", ""])
