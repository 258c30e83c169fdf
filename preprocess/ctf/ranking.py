"""Refines the candidates of the search, chooses one, and says by how much it is better than the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.refinement import FitTask, FittedModel, refine
from preprocess.ctf.search import WIDE_SECTORS, CtfCandidate, SearchRange, SectorProfiles, search, search_again
from preprocess.ctf.sectors import SmoothCourse

LARGEST_SCORE_BONUS = 30.0
"""What the score of the first search may add to a log-likelihood. Likelihood alone fails on faint images: an envelope
that is free fits noise."""
AGAIN_AT_MOST = 5
AGAIN_WITHIN = 25.0
RIVAL_WITHIN = 10.0
NO_RIVAL = 999.0


@dataclass(frozen=True, slots=True)
class RankedFit:
    """The best fit, and by how much its log-likelihood exceeds that of the best one at another defocus."""

    fit: FittedModel
    margin: float


def best_fit(
    task: FitTask, profiles: SectorProfiles, course: SmoothCourse, where: SearchRange, threads: RowThreads
) -> RankedFit:
    """Search, refine and choose."""
    first = search(profiles, course, task.terms, where, threads)
    fits = [refine(task, candidate.parameters, threads, steps=4) for candidate in first]
    best = max(fits, key=lambda fit: merit(fit, first))
    second = search_again(profiles, best, task.samples, task.terms, where, task.tile_count, threads)
    fits += _newly_found(task, second, fits, threads)
    best = max(fits, key=lambda fit: merit(fit, first))
    best = refine(task, best.parameters, threads, steps=8, linear=best.linear)
    fits.append(best)
    for index, fit in enumerate(fits):  # a rival that has not converged may be the same answer
        if is_other(fit, best) and merit(best, first) - merit(fit, first) < RIVAL_WITHIN:
            fits[index] = refine(task, fit.parameters, threads, steps=8, linear=fit.linear)
    winner = max(fits, key=lambda fit: merit(fit, first))
    if merit(winner, first) > merit(best, first) + 0.5:
        best = winner
    return RankedFit(best, _margin(best, fits, first, None if task.with_phase else second))


def merit(fit: FittedModel, candidates: Sequence[CtfCandidate]) -> float:
    """Return a fit's log-likelihood, plus what the first search says about the defocus."""
    near = max((c.score for c in candidates if abs(c.defocus - fit.defocus) < max(0.02 * c.defocus, 120)), default=0.0)
    return fit.log_likelihood + min(0.5 * near**2 / WIDE_SECTORS, LARGEST_SCORE_BONUS)


def is_other(fit: FittedModel, best: FittedModel) -> bool:
    """Return whether a fit has another defocus than the best one, or another phase shift modulo 180 degrees."""
    phase = (fit.parameters[3] - best.parameters[3] + np.pi / 2) % np.pi - np.pi / 2
    return _is_far(fit.defocus, best) or bool(abs(phase) > 0.4)


def _is_far(defocus: float, best: FittedModel) -> bool:
    return abs(defocus - best.defocus) > max(0.02 * best.defocus, 150)


def _newly_found(
    task: FitTask, second: Sequence[CtfCandidate], fits: Sequence[FittedModel], threads: RowThreads
) -> list[FittedModel]:
    """Refine those of the second search that no fit is near to."""
    found: list[FittedModel] = []
    for candidate in second:
        if len(found) == AGAIN_AT_MOST or candidate.score <= second[0].score - AGAIN_WITHIN:
            break
        if all(
            abs(candidate.defocus - fit.defocus) > max(0.008 * candidate.defocus, 60)
            or abs(candidate.parameters[3] - fit.parameters[3]) > 0.3
            for fit in (*fits, *found)
        ):
            found.append(refine(task, candidate.parameters, threads, steps=5))
    return found


def _margin(
    best: FittedModel,
    fits: Sequence[FittedModel],
    first: Sequence[CtfCandidate],
    second: Sequence[CtfCandidate] | None,
) -> float:
    """Return by how much the best fit is better than any other, by likelihood and in the second search."""
    margin = min((merit(best, first) - merit(fit, first) for fit in fits if is_other(fit, best)), default=NO_RIVAL)
    near = [c.score for c in second or () if not _is_far(c.defocus, best)]
    far = [c.score for c in second or () if _is_far(c.defocus, best)]
    if near and far:
        margin = min(margin, max(near) - max(far))
    return margin
