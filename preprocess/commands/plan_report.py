"""How `--dry-run` tells what would become of a movie: lines for people, an object for programs."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.exposure.acquisition import Acquisition
from preprocess.movie_plan import MoviePlan

_INDENT, _LABEL_COLUMNS, _NARROWEST = "  ", 12, 40
_ALIKE = ("layout", "frames", "exposure", "dose", "gain", "defects", "micrograph", "warning")
"""Rows that most movies of a session share: they are printed when they differ from those of the movie before."""

_NEED = {"needed": "the movie needs one", "not needed": "it needs none", "unknown": "it may need one"}

Row = tuple[str, str]


def plan_object(plan: MoviePlan) -> dict[str, Any]:
    """Return what `--json` prints about a movie, beside its name and what would be done."""
    gain, known = plan.gain, plan.acquisition
    return {
        "frames": None if plan.frames is None else asdict(plan.frames),
        "acquisition": None if known is None else asdict(known),
        "dose_per_frame_e_per_a2": plan.dose_per_frame_e_per_a2,
        "total_dose_e_per_a2": plan.total_dose_e_per_a2,
        "gain": None if gain is None or gain.path is None else escaped(str(gain.path)),
        "gain_found_by": gain.found_by if gain else "",
        "gain_turned": gain.turned if gain else "",
        "gain_need": gain.need if gain else "",
        "gain_need_why": encodable(gain.why) if gain else "",
        "defects": None if plan.defects is None else escaped(str(plan.defects)),
        "warnings": [encodable(text) for text in plan.warnings],
        "problems": [
            {"message": encodable(problem.text), "hint": problem.hint, "exit_code": problem.exit_code}
            for problem in plan.problems
        ],
    }


def plan_rows(plan: MoviePlan) -> list[Row]:
    """Return what people read about a movie."""
    rows = list[Row]()
    if plan.frames is not None:
        rows.append(("frames", _frames(plan)))
    if plan.acquisition is not None:
        known = plan.acquisition
        pixel_size = _value(known, "pixel_size_angstrom", "Å", "pixel size")
        rows.append(("exposure", f"{pixel_size}, {_value(known, 'voltage_kv', 'kV', 'voltage')}"))
        rows.append(("dose", _dose(plan, known)))
    if plan.gain is not None:
        rows.append(("gain", _gain(plan)))
    if plan.defects is not None:
        rows.append(("defects", escaped(str(plan.defects))))
    rows += [("warning", text) for text in plan.warnings]
    for problem in plan.problems:
        text = problem.text.removeprefix(f"{plan.movie}: ")
        rows += [("problem", text), ("what to do", problem.hint)]
    return rows


class PlanPrinter:
    """Prints plans on stdout; on a terminal, lines are broken to its width under their beginning."""

    def __init__(self) -> None:
        self._before: set[Row] = set()

    def print(self, head: str, movie: str, rows: Sequence[Row]) -> None:
        """Print a movie's plan; rows that are as those of the movie before, but for its name, are only named."""
        nameless = {row: (row[0], _without_name(row[1], movie)) for row in rows if row[0] in _ALIKE}
        alike = [row for row, general in nameless.items() if general in self._before]
        self._before = set(nameless.values())
        shown = [row for row in rows if row not in alike]
        if alike:
            shown.insert(0, ("as before", ", ".join(dict.fromkeys(label for label, _ in alike))))
        width = max(_NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 0
        lines = _broken(head, "", _INDENT, width)
        for label, text in shown:
            beginning = f"{_INDENT}{label:<{_LABEL_COLUMNS}}"
            lines += _broken(text, beginning, " " * len(beginning), width)
        sys.stdout.write("\n".join(lines) + "\n")


def _without_name(text: str, movie: str) -> str:
    """Return a text without the movie's stem, which EPU shortens for files beside it."""
    stem = PurePath(movie).stem
    shorter = stem.rpartition("_")[0] or stem
    return text.replace(stem, "*").replace(shorter, "*")


def _broken(text: str, beginning: str, below: str, width: int) -> list[str]:
    text = for_terminal(text)
    if not width:
        return [beginning + text]
    return textwrap.wrap(text, width, initial_indent=beginning, subsequent_indent=below, break_on_hyphens=False) or [
        beginning
    ]


def _frames(plan: MoviePlan) -> str:
    frames = plan.frames
    assert frames is not None
    used = "all"
    if frames.first is None or frames.last is None:
        used = "none"
    elif (frames.first, frames.last) != (1, frames.count):
        used = f"{frames.first} to {frames.last}"
    size = f"{frames.width_px} x {frames.height_px} px, {frames.number_type}, {frames.format.upper()}"
    of_eer = f", each of {frames.hardware_frames_per_frame} hardware frames" if frames.format == "eer" else ""
    return f"{frames.count}{of_eer} ({used} used), {size}"


def _value(known: Acquisition, name: str, unit: str, what: str) -> str:
    value = getattr(known, name)
    return f"{what} not known" if value is None else f"{value:.4g} {unit} ({known.sources.get(name, '?')})"


def _dose(plan: MoviePlan, known: Acquisition) -> str:
    if plan.dose_per_frame_e_per_a2 is None or plan.total_dose_e_per_a2 is None:
        return "not known"
    source = known.sources.get("dose_per_frame_e_per_a2") or known.sources.get("total_dose_e_per_a2", "?")
    unequal = " on average" if known.frame_doses_e_per_a2 else ""
    text = f"{plan.dose_per_frame_e_per_a2:.4g} e/Å² a frame{unequal}, {plan.total_dose_e_per_a2:.4g} in all ({source})"
    before, its_source = known.pre_exposure_e_per_a2, known.sources.get("pre_exposure_e_per_a2")
    return f"{text}; {before:.4g} before the first frame ({its_source})" if before else text


def _gain(plan: MoviePlan) -> str:
    gain = plan.gain
    assert gain is not None
    if gain.path is None:
        said = f" ({gain.found_by})" if gain.found_by else ""
        return f"none{said}; {_NEED[gain.need]}: {gain.why}"
    return f"{escaped(str(gain.path))}; {gain.found_by}; {gain.turned}"
