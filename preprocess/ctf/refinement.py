"""Fits the model to a spectrum by its Whittle likelihood: Gauss and Newton's steps over all parameters at once.

Each sample of a spectrum is exponential around its expected power, so that noise weighs itself out and no limit of
resolution has to be chosen (Whittle 1953, Ark. Mat. 2, 423). Background and envelope are fitted beside the defocus. How
much they may bend is limited by a prior on their second differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.evidence import ring_evidence
from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import (
    BACKGROUND,
    BACKGROUND_RING,
    ENVELOPE,
    ENVELOPE_RING,
    PARAMETERS,
    PHASE,
    WATER_RING_PER_ANGSTROM,
    PhaseTerms,
    window_transfer,
)
from preprocess.ctf.samples import SpectrumSamples
from preprocess.ctf.spectrum import TILES_FOR_INDEPENDENT

PARTS = 16
"""Into which the samples are cut for the threads."""
OVERLAP_FACTOR = TILES_FOR_INDEPENDENT
"""By how much fewer independent values a pixel's mean has than effective tiles: neighbouring pixels of a windowed
transform are correlated, and so are tiles that overlap."""
FIRST_BEND, BACKGROUND_BEND, ENVELOPE_BEND = (0.3, 0.2), 0.3, 0.03
"""How much the splines may bend from one interval to the next, as a standard deviation: the first two second
differences (of background, of envelope), and the others."""
LAST_BACKGROUND_BEND, LAST_ENVELOPE_BEND = 0.1, 0.1
"""The others in the last fit: an envelope that may bend little is best while rings have to be found, but near the ring
of water, and where a specimen is thick, it draws the defocus of images with few rings to larger values."""
CLIP_SIGMAS = 8.0
"""Residuals count up to this, in standard deviations that pixels would have if effective tiles were independent: about
six of their own, as overlapping tiles say the same about a pixel."""
REVERSIBLE_SPLINES, REVERSED_CONTRAST = 5, 0.03
"""The envelope's splines, from the coarsest on, that should not be below zero, and how far they may, as a standard
deviation: contrast is not reversed there."""
SMALL_STEP = 0.05
"""Steps end when one is smaller than so much of the standard error."""
STEP_UNIT_ANGSTROM = 1e3
"""Defoci are in this unit in the normal equations, so that all parameters are of one size."""


@dataclass(frozen=True, slots=True)
class FitTask:
    """What is fitted, and how much it is worth.

    Attributes
    ----------
    samples : SpectrumSamples
        The spectrum.
    terms : PhaseTerms
        The microscope's part of the phase.
    tile_count : float
        Of how many tiles' spectra it is the mean: `BlockSpectra.effective_count`.
    with_phase : bool
        Whether the phase shift is sought.
    is_last : bool
        Whether the rings have been found, and splines may bend more. With a free phase shift, few rings do not tell
        all three apart then.
    """

    samples: SpectrumSamples
    terms: PhaseTerms
    tile_count: float
    with_phase: bool
    is_last: bool = False

    @property
    def correlation(self) -> float:
        """Return how many values of the likelihood's sums are as good as one that is independent."""
        return OVERLAP_FACTOR / self.tile_count


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The parameters of a fit.

    Attributes
    ----------
    parameters : NDArray[np.float64]
        Mean defocus and astigmatism, Å, phase shift, rad; see `model`.
    linear : NDArray[np.float64]
        Coefficients of background and envelope, shape (PARAMETERS,); the first four are not used.
    covariance : NDArray[np.float64]
        Of `parameters`, all others free, shape (4, 4).
    log_likelihood : float
        With the priors, per independent value.
    ring_energy : float
        Squared strength of the rings in units of its noise.
    evidence : float
        Logarithm of the evidence for rings at this defocus over that for none.
    """

    parameters: NDArray[np.float64]
    linear: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_likelihood: float
    ring_energy: float
    evidence: float

    @property
    def defocus(self) -> float:
        """Return the mean defocus, Å."""
        return float(self.parameters[0])

    @property
    def astigmatism(self) -> float:
        """Return (U - V) / 2, Å."""
        return float(np.hypot(self.parameters[1], self.parameters[2]))


@dataclass(slots=True)
class _FitState:
    """Parameters, and what the likelihood looks like around them."""

    parameters: NDArray[np.float64]
    linear: NDArray[np.float64]
    likelihood: float
    equations: NDArray[np.float64]
    right: NDArray[np.float64]
    energy: float


def refine(
    task: FitTask,
    start: NDArray[np.float64],
    threads: RowThreads,
    *,
    steps: int,
    linear: NDArray[np.float64] | None = None,
) -> FittedModel:
    """Fit the model from a start.

    Parameters
    ----------
    start : NDArray[np.float64]
        Mean defocus, the two of astigmatism, Å, and the phase shift, rad.
    steps : int
        At most.
    linear : NDArray[np.float64] | None
        Coefficients to start with; None: they are found first, for the parameters as they are.
    """
    prior = _prior(task.correlation, is_last=task.is_last)
    fresh = linear is None
    parameters = np.array(start, np.float64)
    coefficients = _first_coefficients() if linear is None else linear
    best: _FitState | None = None
    damping = 0.02
    for step in range(steps + 1):
        free = 0 if fresh and step == 0 else 2 if task.with_phase else 1
        state = _look(task, parameters, coefficients, free, prior, threads)
        if best is None or state.likelihood >= best.likelihood or (fresh and step == 1):
            best, damping = state, max(damping / 3, 1e-5)
        else:
            damping *= 12
        if step == steps:
            break
        change = _change(best, damping, task)
        if step > 0 and not (fresh and step == 1) and best is state and _is_small(change, best, task.correlation):
            break
        parameters, coefficients = best.parameters + change[:4], best.linear + np.append(np.zeros(4), change[4:])
        if step > 1 and np.abs(change[:PHASE]).max() < 0.3 and abs(change[PHASE]) < 1e-3:
            break
    assert best is not None
    return _fitted(best, task, prior)


def _first_coefficients() -> NDArray[np.float64]:
    linear = np.zeros(PARAMETERS)
    linear[BACKGROUND:BACKGROUND_RING] = 1.0
    linear[ENVELOPE:ENVELOPE_RING] = 0.05
    return linear


def _prior(correlation: float, *, is_last: bool) -> NDArray[np.float64]:
    """Return the inverse covariance of the coefficients, from how much background and envelope bend."""
    prior = np.zeros((PARAMETERS, PARAMETERS))
    bends = (LAST_BACKGROUND_BEND, LAST_ENVELOPE_BEND) if is_last else (BACKGROUND_BEND, ENVELOPE_BEND)
    spans = (
        (BACKGROUND, BACKGROUND_RING, FIRST_BEND[0], bends[0]),
        (ENVELOPE, ENVELOPE_RING, FIRST_BEND[1], bends[1]),
    )
    for first, end, low, high in spans:
        second = np.diff(np.eye(end - first), 2, axis=0)
        sigma = np.where(np.arange(len(second)) < 2, low, high)
        prior[first:end, first:end] += second.T @ (second * (correlation / sigma**2)[:, None])
    return prior


def linear_prior(task: FitTask) -> NDArray[np.float64]:
    """Return the inverse covariance of background and envelope from how much they bend, per independent value.

    A ring of water that the spectrum does not reach is held at zero.
    """
    prior = _prior(1.0, is_last=task.is_last)[BACKGROUND:, BACKGROUND:] + 1e-9 * np.eye(PARAMETERS - BACKGROUND)
    if not _reaches_water_ring(task):
        rings = np.array([BACKGROUND_RING, ENVELOPE_RING]) - BACKGROUND
        prior[rings, rings] += 1e9
    return prior


def _look(
    task: FitTask,
    parameters: NDArray[np.float64],
    linear: NDArray[np.float64],
    free: int,
    prior: NDArray[np.float64],
    threads: RowThreads,
) -> _FitState:
    """Return likelihood and normal equations at some parameters."""
    equations, right = np.zeros((PARTS, PARAMETERS, PARAMETERS)), np.zeros((PARTS, PARAMETERS))
    figures = np.zeros((PARTS, 2))
    terms = task.terms
    threads.run(
        ctf_kernels.add_normal_equations,
        task.samples.arrays,
        (terms.wavelength, terms.aberration, terms.contrast_phase, terms.frequency_step),
        parameters,
        linear,
        free,
        CLIP_SIGMAS / np.sqrt(max(task.tile_count, 1)),
        equations,
        right,
        figures,
        rows=PARTS,
    )
    likelihood, energy = figures.sum(0)
    upper = equations.sum(0)
    matrix = np.triu(upper) + np.triu(upper, 1).T + prior
    gradient = right.sum(0) - prior @ linear
    no_ring = not _reaches_water_ring(task)
    for place in range(PARAMETERS):
        if matrix[place, place] < 1e-9 or (no_ring and place in (BACKGROUND_RING, ENVELOPE_RING)):
            matrix[place], matrix[:, place], matrix[place, place], gradient[place] = 0, 0, 1, 0
    return _FitState(parameters, linear, likelihood - 0.5 * linear @ prior @ linear, matrix, gradient, energy)


def _change(state: _FitState, damping: float, task: FitTask) -> NDArray[np.float64]:
    """Return the step from a state, no longer than turns the phase by half a radian at most of the frequencies."""
    damped = state.equations.copy()
    damped[np.diag_indices(4)] *= 1 + damping
    change: NDArray[np.float64] = np.linalg.solve(damped, state.right).astype(np.float64)
    change[:PHASE] *= STEP_UNIT_ANGSTROM
    longest = 0.5 / (np.pi * task.terms.wavelength * (task.samples.highest_frequency * 0.6) ** 2)
    change[:4] *= min(1.0, longest / max(float(np.abs(change[:PHASE]).max()), 1e-9))
    return change


def _is_small(change: NDArray[np.float64], state: _FitState, correlation: float) -> bool:
    """Return whether a step is small beside the parameters' standard errors."""
    step = change[:4] / np.array([STEP_UNIT_ANGSTROM] * 3 + [1.0])
    return bool(step @ state.equations[:4, :4] @ step < SMALL_STEP**2 * correlation)


def _fitted(state: _FitState, task: FitTask, prior: NDArray[np.float64]) -> FittedModel:
    """Return a state as a result: contrast that is reversed and much astigmatism cost likelihood."""
    correlation = task.correlation
    reversed_contrast = np.minimum(state.linear[ENVELOPE : ENVELOPE + REVERSIBLE_SPLINES], 0) / REVERSED_CONTRAST
    against = 0.5 * float(reversed_contrast @ reversed_contrast)
    usual = 0.01 * state.parameters[0] + 100
    unlikely = np.log1p((state.parameters[1] ** 2 + state.parameters[2] ** 2) / usual**2)
    likelihood = state.likelihood - correlation * (against + unlikely)
    unit = np.array([STEP_UNIT_ANGSTROM] * 3 + [1.0])
    covariance = (np.linalg.inv(state.equations)[:4, :4] * correlation * np.outer(unit, unit)).astype(np.float64)
    evidence = ring_evidence(
        state.equations / correlation,
        state.right / correlation,
        state.parameters,
        state.linear,
        prior[ENVELOPE:ENVELOPE_RING, ENVELOPE:ENVELOPE_RING] / correlation,
        with_phase=task.with_phase,
        with_ring=_reaches_water_ring(task),
    )
    return FittedModel(
        state.parameters,
        state.linear,
        covariance,
        float(likelihood / correlation),
        float(state.energy / correlation),
        evidence - against,
    )


def _reaches_water_ring(task: FitTask) -> bool:
    return task.samples.highest_frequency > WATER_RING_PER_ANGSTROM - 0.01


def ring_strength(task: FitTask, fit: FittedModel, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how strong the rings are beside the background, as the window leaves them, at some frequencies."""
    background, envelope = task.samples.curves(fit.linear, frequency)
    terms = task.terms
    slope = np.pi * terms.wavelength * fit.defocus - 2 * terms.aberration * frequency**2
    left = window_transfer(4 * terms.frequency_step * frequency * slope)
    strength: NDArray[np.float64] = envelope / np.maximum(background, 0.15) * left
    return strength


def group_equations(
    task: FitTask, fit: FittedModel, groups: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each group's part of the normal equations at a fit, and the prior's.

    Parameters
    ----------
    groups : NDArray[np.int64]
        The group of each sample, from 0.

    Returns
    -------
    equations, right : NDArray[np.float64]
        Shapes (groups, n, n) and (groups, n), per value of the likelihood's sums, of the n parameters that the samples
        tell anything about; defoci, which come first, are in units of 1000 Å.
    prior : NDArray[np.float64]
        What the prior adds to the sum of all equations, shape (n, n); its gradient is in the first group's.
    """
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    arrays = tuple(np.ascontiguousarray(array[order]) for array in task.samples.arrays)
    terms = task.terms
    equations, right = np.zeros((len(ends), PARAMETERS, PARAMETERS)), np.zeros((len(ends), PARAMETERS))
    for group, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        ctf_kernels.add_normal_equations(
            tuple(array[first:end] for array in arrays),
            (terms.wavelength, terms.aberration, terms.contrast_phase, terms.frequency_step),
            fit.parameters,
            fit.linear,
            2 if task.with_phase else 1,
            CLIP_SIGMAS / np.sqrt(max(task.tile_count, 1)),
            equations[group : group + 1],
            right[group : group + 1],
            np.zeros((1, 2)),
            0,
            min(1, end - first),
        )
    equations = np.triu(equations) + np.transpose(np.triu(equations, 1), (0, 2, 1))
    prior = _prior(task.correlation, is_last=task.is_last)
    right[0] -= prior @ fit.linear
    told = (equations.sum(0) + prior).diagonal() > 1e-9
    if not _reaches_water_ring(task):
        told[[BACKGROUND_RING, ENVELOPE_RING]] = False
    kept = np.flatnonzero(told)
    return equations[:, kept[:, None], kept], right[:, kept], prior[np.ix_(kept, kept)]
