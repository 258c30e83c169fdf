"""What the command line says about the contrast transfer function, as settings."""

from __future__ import annotations

import re

import typer

from preprocess.settings import CtfSettings

ANGSTROM_PER_UM = 1e4
LARGEST_DEFOCUS_UM = 20.0
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_USUAL = CtfSettings()

USUAL_RANGE = "-".join(
    f"{defocus / ANGSTROM_PER_UM:g}" for defocus in (_USUAL.lowest_defocus_angstrom, _USUAL.highest_defocus_angstrom)
)
"""The range that is searched unless another one is given, as `--defocus-range` has it."""


def ctf_settings(
    *, wanted: bool, phase_shift: bool, group_dose: float | None, defocus_range: str, ctffind_files: bool
) -> CtfSettings:
    """Return the settings that the options name.

    Raises
    ------
    typer.BadParameter
        The range is none, or is empty.
    """
    lowest, highest = _range(defocus_range)
    return CtfSettings(
        wanted=wanted,
        find_phase_shift=phase_shift,
        group_dose_e_per_a2=group_dose,
        lowest_defocus_angstrom=lowest,
        highest_defocus_angstrom=highest,
        ctffind_files=ctffind_files,
    )


def _range(text: str) -> tuple[float, float]:
    """Return the ends of a range of defocus, Å."""
    numbers = re.fullmatch(rf"({_NUMBER})[-–]({_NUMBER})", text.strip())
    lowest, highest = (0.0, 0.0) if numbers is None else (float(number) for number in numbers.groups())
    if not 0 < lowest < highest <= LARGEST_DEFOCUS_UM:
        raise typer.BadParameter(
            f"--defocus-range {text}: give two numbers in µm, the smaller one first, such as {USUAL_RANGE};"
            f" both above 0, at most {LARGEST_DEFOCUS_UM:g}"
        )
    return round(lowest * ANGSTROM_PER_UM, 3), round(highest * ANGSTROM_PER_UM, 3)
