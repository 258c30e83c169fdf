"""Compiled loops of the Whittle likelihood: splines, normal equations, the model's picture.

The samples are cut into parts, always the same, and each part is done by one thread: threads change no result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled
from preprocess.ctf.model import (
    BACKGROUND,
    BACKGROUND_INTERVALS,
    BACKGROUND_RING,
    ENVELOPE,
    ENVELOPE_INTERVALS,
    ENVELOPE_RING,
    WATER_RING_PER_ANGSTROM,
    WATER_RING_WIDTH_PER_ANGSTROM,
)

Array = NDArray[Any]

VALUES = 14
"""Parameters that a sample depends on: the four sought, four splines and the ring of background and of envelope."""
LANES = 16
RUN = 512
"""Samples that are added up in float32 before they go into float64."""
LEAST_POWER = np.float32(0.15)
"""The model is not let below this, in units of the smooth course."""
HIGHEST_RATIO = np.float32(20.0)
"""Power over model counts up to this in the likelihood: a clipped sample still costs."""


@compiled(fastmath=True)
def write_spline(x: float, intervals: int, basis: Array, first: int) -> int:
    """Write the four cubic B-splines on [0, intervals] that are not zero at x; return the number of the first."""
    interval = min(int(x), intervals - 1)
    u = x - interval
    v = 1 - u
    basis[first] = v * v * v / 6
    basis[first + 1] = (3 * u * u * u - 6 * u * u + 4) / 6
    basis[first + 2] = (-3 * u * u * u + 3 * u * u + 3 * u + 1) / 6
    basis[first + 3] = u * u * u / 6
    return interval


@compiled(fastmath=True)
def write_bases(
    frequency: Array, lowest: float, highest: float, basis: Array, places: Array, start: int, stop: int
) -> None:
    """Write each sample's splines and rings, basis (samples, 10), and where they belong, places (samples, 2)."""
    for i in range(start, stop):
        x = (frequency[i] - lowest) / (highest - lowest)
        x = min(max(x, 0.0), 1.0)
        places[i, 0] = BACKGROUND + write_spline(x * BACKGROUND_INTERVALS, BACKGROUND_INTERVALS, basis[i], 0)
        places[i, 1] = ENVELOPE + write_spline(x * ENVELOPE_INTERVALS, ENVELOPE_INTERVALS, basis[i], 4)
        distance = (frequency[i] - WATER_RING_PER_ANGSTROM) / WATER_RING_WIDTH_PER_ANGSTROM
        basis[i, 8] = np.exp(-0.5 * distance * distance)
        basis[i, 9] = basis[i, 8]


@compiled(fastmath=True)
def background_and_envelope(basis: Array, places: Array, linear: Array, i: int) -> tuple[float, float]:
    """Return N and E of sample i."""
    n, e = places[i, 0], places[i, 1]
    background = basis[i, 8] * linear[BACKGROUND_RING]
    envelope = basis[i, 9] * linear[ENVELOPE_RING]
    for j in range(4):
        background += basis[i, j] * linear[n + j]
        envelope += basis[i, 4 + j] * linear[e + j]
    return background, envelope


@compiled(fastmath=True)
def oscillation(
    k: float, defocus: float, phase: float, wavelength: float, aberration: float, frequency_step: float
) -> tuple[float, float]:
    """Return T cos 2 chi and T sin 2 chi, in float32."""
    two_pi = np.float32(2 * np.pi)
    one = np.float32(1)
    square = k * k
    slope = np.float32(np.pi * wavelength) * defocus
    angle = np.float32(2) * (slope * square - np.float32(aberration) * square * square + np.float32(phase))
    turn = abs(np.float32(4 * frequency_step) * k * (slope - np.float32(2 * aberration) * square)) / two_pi
    left = one - one
    if turn < one:
        around = np.float32(np.pi) * turn
        left = (one - turn) * np.cos(around) + np.sin(around) * np.float32(1 / np.pi)
    return np.cos(angle) * left, np.sin(angle) * left


@compiled()
def place_of(value: int, n: int, e: int) -> int:
    """Return where one of a sample's values belongs among all parameters, for the places of its splines."""
    if value < 4:
        return value
    if value < 8:
        return n + value - 4
    if value == 8:
        return BACKGROUND_RING
    return e + value - 9 if value < 13 else ENVELOPE_RING


@compiled(fastmath=True)
def add_block(block: Array, side: Array, n: int, e: int, equations: Array, right: Array) -> None:
    """Add a run's sums to the normal equations, and empty them. n, e: where the splines' coefficients belong."""
    for j in range(VALUES):
        row = place_of(j, n, e)
        right[row] += side[j]
        for m in range(j, VALUES):
            equations[row, place_of(m, n, e)] += block[j, m]
    block[:] = 0
    side[:] = 0


@compiled(fastmath=True)
def add_normal_equations(
    samples: tuple[Array, ...],
    terms: tuple[float, ...],
    parameters: Array,
    linear: Array,
    free: int,
    clip: float,
    equations: Array,
    right: Array,
    figures: Array,
    start: int,
    stop: int,
) -> None:
    """Add up parts of the normal equations of Gauss and Newton's step for the Whittle likelihood.

    Each sample's power is exponential around the model, the mean of `weight` such ones gamma; a residual beyond `clip`
    standard deviations is taken as that much.

    samples: frequency, cos2, sin2, value, weight, basis, places; terms: wavelength, aberration, contrast phase and
    frequency step. free: 0 the linear parameters alone, 1 defocus and astigmatism too, 2 the phase shift too. Defoci
    are in units of 1000 Å. equations (parts, PARAMETERS, PARAMETERS), upper triangle; right (parts, PARAMETERS);
    figures (parts, 2): log-likelihood, and the energy of the rings.
    """
    frequency, cos2, sin2, value, weight, basis, places = samples
    wavelength, aberration, contrast_phase, frequency_step = terms
    parts, count = equations.shape[0], frequency.size
    one = np.float32(1)
    mean, of_cos, of_sin = np.float32(parameters[0]), np.float32(parameters[1]), np.float32(parameters[2])
    phase = parameters[3] + contrast_phase
    of_defocus = np.float32(np.pi * wavelength * 1e3)
    block, side, of = np.zeros((VALUES, LANES), np.float32), np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    for part in range(start, stop):
        first, last = part * count // parts, (part + 1) * count // parts
        n, e, run = places[first, 0], places[first, 1], 0
        likelihood, energy = 0.0, 0.0
        for i in range(first, last):
            if places[i, 0] != n or places[i, 1] != e or run == RUN:
                add_block(block, side, n, e, equations[part], right[part])
                n, e, run = places[i, 0], places[i, 1], 0
            run += 1
            k = frequency[i]
            defocus = mean + of_cos * cos2[i] + of_sin * sin2[i]
            cosine, sine = oscillation(k, defocus, phase, wavelength, aberration, frequency_step)
            background, envelope = background_and_envelope(basis, places, linear, i)
            model = max(np.float32(background - envelope * cosine), LEAST_POWER)
            inverse = one / model
            ratio, w = value[i] * inverse, weight[i]
            residual = min(ratio, one + np.float32(clip) / np.sqrt(w)) - one
            slope = np.float32(2) * np.float32(envelope) * sine * inverse
            if free > 0:
                of[0] = slope * of_defocus * k * k
                of[1] = of[0] * cos2[i]
                of[2] = of[0] * sin2[i]
                of[3] = slope if free > 1 else np.float32(0)
            against = -cosine * inverse
            for j in range(4):
                of[4 + j] = basis[i, j] * inverse
                of[9 + j] = basis[i, 4 + j] * against
            of[8] = basis[i, 8] * inverse
            of[13] = basis[i, 9] * against
            weighted = w * residual
            for j in range(VALUES):
                side[j] += of[j] * weighted
                scaled = of[j] * w
                for m in range(LANES):
                    block[j, m] += scaled * of[m]
            likelihood -= w * (np.log(model) + min(ratio, HIGHEST_RATIO))
            energy += w * (envelope * against) ** 2
        add_block(block, side, n, e, equations[part], right[part])
        figures[part, 0], figures[part, 1] = likelihood, energy


@compiled(fastmath=True)
def add_block_equations(
    samples: tuple[Array, ...],
    values: Array,
    terms: tuple[float, ...],
    parameters: Array,
    linear: Array,
    tiles: Array,
    states: Array,
    equations: Array,
    right: Array,
    start: int,
    stop: int,
) -> None:
    """Add up the normal equations of blocks that differ from the whole in defocus, ring strength and level.

    samples: as in `add_normal_equations`, but for the value; values (blocks, samples); tiles (blocks): how many spectra
    each is the mean of; states (blocks, 3): defocus, factor of E, factor of N. equations (blocks, 3, 3), of defoci in
    units of 1000 Å; right (blocks, 3).
    """
    frequency, cos2, sin2, weight, basis, places = samples
    wavelength, aberration, contrast_phase, frequency_step = terms
    phase = parameters[3] + contrast_phase
    of = np.zeros(3)
    for block in range(start, stop):
        equations[block] = 0
        right[block] = 0
        for i in range(frequency.size):
            k = frequency[i]
            defocus = np.float32(states[block, 0] + parameters[1] * cos2[i] + parameters[2] * sin2[i])
            cosine, sine = oscillation(k, defocus, phase, wavelength, aberration, frequency_step)
            background, envelope = background_and_envelope(basis, places, linear, i)
            model = max(states[block, 2] * background - states[block, 1] * envelope * cosine, 0.15)
            limit = 6 / np.sqrt(max(weight[i] * tiles[block], 1.0))
            residual = min((values[block, i] - model) / model, limit)
            of[0] = 2 * states[block, 1] * envelope * sine * np.pi * wavelength * 1e3 * k * k / model
            of[1] = -envelope * cosine / model
            of[2] = background / model
            for j in range(3):
                right[block, j] += weight[i] * of[j] * residual
                for m in range(3):
                    equations[block, j, m] += weight[i] * of[j] * of[m]


@compiled(fastmath=True)
def draw_model(
    samples: tuple[Array, ...],
    terms: tuple[float, ...],
    parameters: Array,
    linear: Array,
    measured: Array,
    fitted: Array,
    start: int,
    stop: int,
) -> None:
    """Divide each sample by the background, measured (samples), and write the model of that, fitted (samples)."""
    frequency, cos2, sin2, value, _weight, basis, places = samples
    wavelength, aberration, contrast_phase, frequency_step = terms
    phase = parameters[3] + contrast_phase
    for i in range(start, stop):
        defocus = np.float32(parameters[0] + parameters[1] * cos2[i] + parameters[2] * sin2[i])
        cosine, _sine = oscillation(frequency[i], defocus, phase, wavelength, aberration, frequency_step)
        background, envelope = background_and_envelope(basis, places, linear, i)
        background = max(background, 0.15)
        measured[i] = value[i] / background
        fitted[i] = 1 - envelope * cosine / background
