"""Runs CTFFIND 5 as its users do: questions on stdin, the answer from its text file."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import numpy as np

from benchmarks.ctf.answers import CtfAnswer, CtfQuestion
from benchmarks.errors import ProgramFailed, ResultUnreadable, TookTooLong
from benchmarks.measuring import measure

PROGRAM = "ctffind"
CAP_S = 300.0
BOX_PX = 512
COARSEST_ANGSTROM, FINEST_ANGSTROM = 30.0, 5.0
STEP_ANGSTROM = 100.0
RELIABLE_FIT_ANGSTROM, RELIABLE_SCORE = 10.0, 0.05
"""CTFFIND calls nothing reliable. Our reading: rings fitted to this resolution at least, with this score at least."""
_FIGURES = 7


def ctffind_answer(image: Path, question: CtfQuestion, threads: int, work: Path) -> CtfAnswer:
    """Return CTFFIND's answer for an MRC file: fast search, astigmatism free, neither tilt nor thickness."""
    method = f"{PROGRAM}-{threads}"
    replies, picture = work / "replies.txt", work / "picture.mrc"
    replies.write_text("\n".join(_replies(image, picture, question)) + "\n", "utf-8")
    command = ["sh", "-c", f"exec {PROGRAM} -j {threads} < {shlex.quote(replies.name)}"]
    try:
        cost = measure(
            command, cwd=work, log=work / "ctffind.log", environment={"OMP_NUM_THREADS": f"{threads}"}, cap_s=CAP_S
        )
        figures = read_figures(picture.with_suffix(".txt"))
    except (ProgramFailed, TookTooLong, ResultUnreadable) as error:
        return CtfAnswer(method=method, failure=str(error))
    _, first, second, angle, phase, score, fit = figures[:_FIGURES]
    if second > first:
        first, second, angle = second, first, angle + 90
    return CtfAnswer(
        method=method,
        defocus_u_angstrom=first,
        defocus_v_angstrom=second,
        angle_degrees=angle,
        phase_shift_degrees=math.degrees(phase) % 180,
        fit_resolution_angstrom=fit,
        score=score,
        reliable=fit < RELIABLE_FIT_ANGSTROM and score > RELIABLE_SCORE,
        wall_s=cost.wall_s,
        cpu_s=cost.cpu_s,
    )


def read_figures(path: Path) -> list[float]:
    """Return the numbers of the last line of a `.txt` of CTFFIND, for one image.

    Raises
    ------
    ResultUnreadable
        It is missing, or has no line of numbers.
    """
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        figures = [float(word) for word in lines[-1].split()]
    except (OSError, IndexError, ValueError) as error:
        raise ResultUnreadable(f"{path.name} of CTFFIND has no result") from error
    if len(figures) < _FIGURES or not np.isfinite(figures[:6]).all():
        raise ResultUnreadable(f"{path.name} of CTFFIND has no result: {lines[-1]}")
    return figures


def _replies(image: Path, picture: Path, question: CtfQuestion) -> list[str]:
    """Return what is typed at CTFFIND's questions, in their order."""
    numbers = (
        question.pixel_size_angstrom,
        question.voltage_kv,
        question.cs_mm,
        question.amplitude_contrast,
        BOX_PX,
        COARSEST_ANGSTROM,
        FINEST_ANGSTROM,
        question.lowest_defocus_angstrom,
        question.highest_defocus_angstrom,
        STEP_ANGSTROM,
    )
    known_astigmatism, slow, restraint, tilt, thickness, expert = ["no"] * 6
    phase = ["yes", "0", "3.15", "0.35"] if question.find_phase_shift else ["no", tilt]
    asked = [known_astigmatism, slow, restraint, *phase, thickness, expert]
    return [str(image), str(picture), *(f"{number:g}" for number in numbers), *asked]
