"""How the specimen's motion differs from place to place: fields of several kinds, each with exact truth.

* quadratic: a polynomial of second order in space, fast at first; RELION's model can express its every frame
* doming: ice bulges around a place and settles as the dose grows; radial, no polynomial in space or in time
* rough: waves of up to two cycles a frame, each with a random walk of its own
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation.motion import fast_then_slow, time_of_frames
from preprocess.simulation.settings import SimulationSettings

Places = NDArray[np.float64]

DOME_RADIUS = 0.22
"""Where the motion of a dome is largest, in parts of the frame's longer side."""

DOME_SETTLING_DOSE_E_PER_A2 = 4.0
"""Dose after which a dome has 1/e of its motion still before it."""

ROUGH_WAVES = 8
ROUGH_CYCLES = 2.0
"""Most cycles of a wave across the frame."""


@dataclass(frozen=True, slots=True)
class LocalTerm:
    """A function of the place, with mean zero over the frame: x = column / width - 0.5, y = row / height - 0.5."""

    name: str
    function: Callable[[Places, Places], Places]  # of y and x, which may broadcast
    mean: float = 0.0

    def __call__(self, y: Places, x: Places) -> Places:
        """Return the term at normalised places."""
        return self.function(y, x) - self.mean


def local_terms(settings: SimulationSettings) -> tuple[LocalTerm, ...]:
    """Return the terms of the settings' kind of local motion."""
    if settings.local_motion_kind == "doming":
        return _dome(settings)
    if settings.local_motion_kind == "rough":
        return _waves(settings)
    return (
        LocalTerm("x", lambda _, x: x),
        LocalTerm("x^2 - 1/12", lambda _, x: x**2 - 1 / 12),
        LocalTerm("y", lambda y, _: y),
        LocalTerm("y^2 - 1/12", lambda y, _: y**2 - 1 / 12),
        LocalTerm("x*y", lambda y, x: x * y),
    )


def local_coefficients(settings: SimulationSettings) -> NDArray[np.float64]:
    """Return the terms' coefficients (frames, 2, terms) in px, (y, x), zero in the first frame.

    Over the last frame's area, the field's root mean square for each axis is `local_motion_px`.
    """
    make = {"quadratic": _quadratic_coefficients, "doming": _dome_coefficients, "rough": _wave_coefficients}
    coefficients = make[settings.local_motion_kind](settings)
    if settings.frame_count == 1 or settings.local_motion_px == 0:
        return np.zeros_like(coefficients)
    field: NDArray[np.float64] = coefficients * (settings.local_motion_px / _rms(settings, coefficients[-1]))
    return field


def _quadratic_coefficients(settings: SimulationSettings) -> NDArray[np.float64]:
    random = np.random.default_rng([settings.seed, 2])
    coefficients = random.standard_normal((2, 5)) * np.array([1.0, 1.5, 1.0, 1.5, 1.5])
    time = time_of_frames(settings.frame_count)
    progress: NDArray[np.float64] = 0.7 * fast_then_slow(time) + 0.3 * time
    field: NDArray[np.float64] = progress[:, None, None] * coefficients
    return field


def _dome(settings: SimulationSettings) -> tuple[LocalTerm, LocalTerm]:
    random = np.random.default_rng([settings.seed, 7])
    centre_y, centre_x = random.uniform(-0.15, 0.15, 2)
    longer = max(settings.height, settings.width)
    scale_y, scale_x = settings.height / longer, settings.width / longer

    def away(y: Places, x: Places) -> tuple[Places, Places, Places]:
        from_y, from_x = (y - centre_y) * scale_y, (x - centre_x) * scale_x
        return from_y, from_x, np.exp(-(from_y**2 + from_x**2) / (2 * DOME_RADIUS**2))

    def radial_y(y: Places, x: Places) -> Places:
        from_y, _, fall = away(y, x)
        return from_y * fall

    def radial_x(y: Places, x: Places) -> Places:
        _, from_x, fall = away(y, x)
        return from_x * fall

    return _of_mean_zero("radial y", radial_y), _of_mean_zero("radial x", radial_x)


def _dome_coefficients(settings: SimulationSettings) -> NDArray[np.float64]:
    random = np.random.default_rng([settings.seed, 8])
    dose = np.arange(settings.frame_count) * settings.dose_per_frame_e_per_a2
    progress = 1 - np.exp(-dose / DOME_SETTLING_DOSE_E_PER_A2)
    outwards = 1.0 if random.random() < 0.5 else -1.0
    field: NDArray[np.float64] = outwards * progress[:, None, None] * np.eye(2)
    return field


def _waves(settings: SimulationSettings) -> tuple[LocalTerm, ...]:
    random = np.random.default_rng([settings.seed, 7])
    terms = []
    for number in range(ROUGH_WAVES):
        angle, phase = random.uniform(0, 2 * np.pi, 2)
        cycles = ROUGH_CYCLES * np.sqrt(random.uniform(0.05, 1))
        along_y, along_x = 2 * np.pi * cycles * np.sin(angle), 2 * np.pi * cycles * np.cos(angle)

        def wave(y: Places, x: Places, ky: float = along_y, kx: float = along_x, start: float = phase) -> Places:
            return np.asarray(np.cos(ky * y + kx * x + start), np.float64)

        terms.append(_of_mean_zero(f"wave {number}", wave))
    return tuple(terms)


def _wave_coefficients(settings: SimulationSettings) -> NDArray[np.float64]:
    random = np.random.default_rng([settings.seed, 8])
    steps = random.standard_normal((settings.frame_count, 2, ROUGH_WAVES))
    steps += 0.7 * random.standard_normal((2, ROUGH_WAVES))  # each wave prefers a direction
    steps *= (0.3 + np.exp(-5 * time_of_frames(settings.frame_count)))[:, None, None]
    steps[0] = 0
    return np.cumsum(steps, axis=0)


def _of_mean_zero(name: str, function: Callable[[Places, Places], Places]) -> LocalTerm:
    places, weights = _quadrature()
    mean = weights @ function(places[:, None], places[None, :]) @ weights
    return LocalTerm(name, function, float(mean))


def _rms(settings: SimulationSettings, coefficients: NDArray[np.float64]) -> float:
    """Return a field's root mean square for each axis over the frame."""
    places, weights = _quadrature()
    basis = np.stack(
        [np.broadcast_to(term(places[:, None], places[None, :]), (64, 64)) for term in local_terms(settings)]
    )
    field = np.tensordot(coefficients, basis, 1)
    return float(np.sqrt(np.mean(np.einsum("ayx,y,x->a", field**2, weights, weights))))


def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Gauss-Legendre places in -0.5 to 0.5, and their weights, whose sum is 1."""
    places, weights = np.polynomial.legendre.leggauss(64)
    return places / 2, weights / 2
