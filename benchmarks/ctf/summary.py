"""The figures of a set and a method, over all its micrographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.ctf.answers import CtfAnswer
from benchmarks.ctf.ctffind import PROGRAM
from benchmarks.ctf.judging import CtfErrors
from benchmarks.ctf.runs import CtfRun


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfSummary:
    """What a method made of a set.

    Attributes
    ----------
    count, failures : int
        Micrographs, and those without an answer.
    defocus_percent, astigmatism_angstrom : tuple[float, float] | None
        Median and 95th percentile of the error; None without images whose truth can be known.
    phase_degrees : float | None
        Median error of the phase shift, where one was sought.
    within_rule, right : int
        Answers within 50 Å + 1 % and 50 Å + 3 % in both U and V.
    wrong_but_reliable : int
        Answers that are not right, or about images without rings, and that are called reliable.
    right_but_unreliable : int
        Answers that are right and not called reliable.
    error_over_stated : float | None
        Root mean square of error over stated error, of reliable answers.
    cpu_s, wall_s, read_s : float
        Medians, seconds.
    of_ctffinds : float | None
        Median error of the defocus over CTFFIND's on the same images.
    worst : tuple[int, ...]
        Seeds of answers that are wrong and called reliable.
    """

    set_name: str
    method: str
    count: int
    failures: int
    defocus_percent: tuple[float, float] | None
    astigmatism_angstrom: tuple[float, float] | None
    phase_degrees: float | None
    within_rule: int
    right: int
    wrong_but_reliable: int
    right_but_unreliable: int
    error_over_stated: float | None
    cpu_s: float
    wall_s: float
    read_s: float
    of_ctffinds: float | None
    worst: tuple[int, ...]


Case = tuple[CtfRun, CtfAnswer, CtfErrors | None]


def summarize(runs: Sequence[CtfRun]) -> list[CtfSummary]:
    """Return a summary for each set and method, in their order."""
    found = []
    for name in dict.fromkeys(run.set_name for run in runs):
        own = [run for run in runs if run.set_name == name]
        methods = [answer.method for answer in own[0].answers]
        of_set = [_summary(name, method, cases(own, method)) for method in methods]
        found += [_against(one, of_set) for one in of_set]
    return found


def cases(runs: Iterable[CtfRun], method: str) -> list[Case]:
    """Return a method's answers with their judgements."""
    return [
        (run, answer, judgement)
        for run in runs
        for answer, judgement in zip(run.answers, run.judgements, strict=True)
        if answer.method == method
    ]


def is_wrong(case: Case) -> bool:
    """Return whether an answer must not be relied upon: it is not right, or nothing could be known."""
    _, _, judgement = case
    return judgement is None or not judgement.right


def _summary(name: str, method: str, all_cases: Sequence[Case]) -> CtfSummary:
    known = [judgement for run, _, judgement in all_cases if judgement is not None and run.to_be_found]
    sigmas = [
        judgement.error_in_sigmas
        for _, answer, judgement in all_cases
        if answer.reliable and judgement is not None and judgement.error_in_sigmas is not None
    ]
    with_phase = any(run.truth.phase_shift_degrees for run, _, _ in all_cases)
    bad = [case for case in all_cases if case[1].reliable and is_wrong(case)]
    return CtfSummary(
        set_name=name,
        method=method,
        count=len(all_cases),
        failures=sum(bool(answer.failure) for _, answer, _ in all_cases),
        defocus_percent=_spread([one.defocus_error_percent for one in known]),
        astigmatism_angstrom=_spread([one.astigmatism_error_angstrom for one in known]),
        phase_degrees=float(np.median([one.phase_error_degrees for one in known])) if known and with_phase else None,
        within_rule=sum(one.within_rule for one in known),
        right=sum(one.right for one in known),
        wrong_but_reliable=len(bad),
        right_but_unreliable=sum(not is_wrong(case) and not case[1].reliable for case in all_cases),
        error_over_stated=float(np.sqrt(np.mean(np.square(sigmas)))) if sigmas else None,
        cpu_s=float(np.median([answer.cpu_s for _, answer, _ in all_cases])),
        wall_s=float(np.median([answer.wall_s for _, answer, _ in all_cases])),
        read_s=float(np.median([run.read_s for run, _, _ in all_cases])),
        of_ctffinds=None,
        worst=tuple(run.seed for run, _, _ in bad),
    )


def _spread(values: Sequence[float]) -> tuple[float, float] | None:
    return (float(np.median(values)), float(np.percentile(values, 95))) if values else None


def _against(one: CtfSummary, of_set: Sequence[CtfSummary]) -> CtfSummary:
    theirs = next((other.defocus_percent for other in of_set if other.method.startswith(PROGRAM)), None)
    if one.defocus_percent is None or theirs is None or one.method.startswith(PROGRAM):
        return one
    return replace(one, of_ctffinds=one.defocus_percent[0] / max(theirs[0], 1e-9))
