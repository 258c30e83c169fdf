"""Refines the candidates of the search, chooses one, and says by how much it is better than the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.near_defoci import distance, near_defoci, near_fits
from preprocess.ctf.refinement import FitTask, FittedModel, refine
from preprocess.ctf.search import WIDE_SECTORS, CtfCandidate, SearchRange, SectorProfiles, search, search_again
from preprocess.ctf.sectors import SmoothCourse

LARGEST_SCORE_BONUS = 30.0
"""What the score of the first search may add to a log-likelihood. Likelihood alone fails on faint images: an envelope
that is free fits noise."""
AGAIN_AT_MOST = 5
AGAIN_WITHIN = 25.0
RIVAL_WITHIN = 10.0
OVERRULED_BY = 10.0
"""Evidence by which another defocus is taken although its likelihood and score are lower: the best of these fits
something else than rings."""
NO_RIVAL = 999.0


@dataclass(frozen=True, slots=True)
class RankedFit:
    """The best fit, and how it compares with those at other defoci.

    Attributes
    ----------
    fit : FittedModel
        The best one.
    margin : float
        Logarithm of its evidence over the sum of that of all other defoci.
    rival : float | None
        The defocus among these that has most, Å.
    moved : float
        How far it lies from the one that the search led to, Å: near to that, another one fitted better.
    """

    fit: FittedModel
    margin: float
    rival: float | None
    moved: float = 0.0


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
    strongest = max(fits, key=lambda fit: fit.evidence)
    if strongest.evidence > _evidence_near(best, fits) + OVERRULED_BY:
        best = refine(task, strongest.parameters, threads, steps=8, linear=strongest.linear)
        fits.append(best)
    near = near_fits(task, best, near_defoci(task, best).better_peaks, threads)
    better = max([best, *near], key=lambda fit: fit.log_likelihood)
    fits.append(better)
    return replace(_compared(better, fits), moved=distance(better, best))


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


def _evidence_near(best: FittedModel, fits: Sequence[FittedModel]) -> float:
    """Return the evidence for the best fit's defocus, whichever fit near to it has most."""
    return max(fit.evidence for fit in fits if not is_other(fit, best))


def _compared(best: FittedModel, fits: Sequence[FittedModel]) -> RankedFit:
    """Return the best fit with what tells it from the other defoci, each of which counts once."""
    rivals: list[FittedModel] = []
    for fit in sorted((fit for fit in fits if is_other(fit, best)), key=lambda fit: -fit.evidence):
        if all(is_other(fit, rival) for rival in rivals):
            rivals.append(fit)
    if not rivals:
        return RankedFit(best, NO_RIVAL, None)
    against = float(np.logaddexp.reduce([rival.evidence for rival in rivals]))
    return RankedFit(best, _evidence_near(best, fits) - against, rivals[0].defocus)
