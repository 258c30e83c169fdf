"""The faults: each as a function of a seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.fault import Fault, FaultyMovie
from benchmarks.faults.scene import COUNTS, FRAME_COUNT, SIDE_PX, Scene, scene

Figures = NDArray[Any]
_FRAMES, _PIXELS, _FIXED, _MOTION = "frames", "pixels", "fixed structure", "motion"
_PLAIN_FRAME = 3
"""A frame amid the others that gets the fault."""


def _plain(seed: int) -> FaultyMovie:
    return _movie(scene(seed))


def _movie(of: Scene, frames: Figures | None = None, without: tuple[int, ...] = ()) -> FaultyMovie:
    return FaultyMovie(of.counts() if frames is None else frames, of.shifts, without)


# Frames without usable signal


def _scaled_frames(factors: dict[int, float], seed: int) -> FaultyMovie:
    of = scene(seed)
    expected = of.expected.copy()
    for index, factor in factors.items():
        expected[index] *= factor
    faint = tuple(index % FRAME_COUNT for index, factor in factors.items() if factor < 0.1)
    return _movie(of, of.counts(expected), faint)


def _saturated(seed: int) -> FaultyMovie:
    of = scene(seed)
    frames = of.counts().astype(np.int16)
    frames[_PLAIN_FRAME] = 255
    return _movie(of, frames, (_PLAIN_FRAME,))


def _foreign(seed: int) -> FaultyMovie:
    of = scene(seed)
    frames = of.counts()
    frames[-1] = scene(seed + 1000).counts()[0]
    return _movie(of, frames, (FRAME_COUNT - 1,))


def _half_lit(seed: int) -> FaultyMovie:
    of = scene(seed)
    expected = of.expected.copy()
    expected[0, : SIDE_PX // 2] = 0
    return _movie(of, of.counts(expected), (0,))


# Pixels


def _hot_pixels(seed: int) -> FaultyMovie:
    of = scene(seed)
    frames, random = of.counts(), of.random()
    places = random.choice(SIDE_PX**2, 200, replace=False)
    frames.reshape(FRAME_COUNT, -1)[:, places] = random.poisson(40, (FRAME_COUNT, 200))
    return _movie(of, frames)


def _hot_column(seed: int) -> FaultyMovie:
    of = scene(seed)
    frames = of.counts()
    frames[:, :, 200] = np.minimum(of.random().poisson(30, frames[:, :, 200].shape), 255)
    return _movie(of, frames)


def _hole(seed: int, *, with_specimen: bool) -> FaultyMovie:
    """Return a dark specimen with a bright hole of 25 px radius, which moves with it or stays with the camera."""
    of = scene(seed)
    expected = np.empty_like(of.expected)
    for index, frame in enumerate(of.expected):
        y, x = of.shifts[index] if with_specimen else (0.0, 0.0)
        expected[index] = frame * np.where(_distance(150 + y, 180 + x) < 25, 1.0, 0.2) * 1.5
    return _movie(of, of.counts(expected))


def _spots(seed: int) -> FaultyMovie:
    """Return a specimen with forty bright spots of 1.5 px, such as ethane or crystals."""
    of = scene(seed)
    places = of.random().uniform(30, SIDE_PX - 30, (40, 2))
    expected = of.expected.copy()
    for index, (y, x) in enumerate(of.shifts):
        for place_y, place_x in places:
            expected[index] += 12 * np.exp(-((_distance(place_y + y, place_x + x) / 1.5) ** 2))
    return _movie(of, of.counts(expected))


def _signed(seed: int, *, flags: int | None) -> FaultyMovie:
    of = scene(seed)
    frames = (of.counts().astype(np.int16) - 128).astype(np.int8)
    return FaultyMovie(frames, of.shifts, imod_flags=flags)


def _minus_32768(seed: int) -> FaultyMovie:
    of = scene(seed)
    return _movie(of, (of.counts().astype(np.int32) * 16 - 32768).astype(np.int16))


def _not_finite(seed: int) -> FaultyMovie:
    of = scene(seed)
    frames = of.counts().astype(np.float32)
    frames[2, 100:104, 50:60], frames[5, 300, 300], frames[7, 20, :3] = np.nan, np.inf, 1e30
    return _movie(of, frames)


def _surplus(seed: int) -> FaultyMovie:
    of = scene(seed)
    return FaultyMovie(of.counts(), of.shifts[: FRAME_COUNT - 4], named_frames=FRAME_COUNT - 4)


# What does not move with the specimen


def _pattern(seed: int, *, amount: float, drift_px: float = 8.0) -> FaultyMovie:
    of = scene(seed, drift_px)
    gain = np.clip(1 + amount * of.random().standard_normal((SIDE_PX, SIDE_PX)), 0.3, 2)
    return _movie(of, of.counts(of.expected / gain))


def _columns(seed: int) -> FaultyMovie:
    of = scene(seed)
    return _movie(of, of.counts(of.expected * (1 + 0.1 * of.random().standard_normal(SIDE_PX))))


def _lit(seed: int, *, illumination: Callable[[], Figures]) -> FaultyMovie:
    of = scene(seed)
    return _movie(of, of.counts(of.expected * illumination()))


def _beam_edge() -> Figures:
    return 1 / (1 + np.exp((_distance(SIDE_PX / 2 - 60, SIDE_PX / 2 + 40) - 230) / 3))


def _aperture() -> Figures:
    return np.where(_distance(SIDE_PX / 2, SIDE_PX / 2) < 200, 1.0, 0.02)


def _grid_bar() -> Figures:
    y, x = _places()
    return np.where(np.abs(y + 0.4 * x - 300) < 40, 0.05, 1.0)


def _places() -> tuple[Figures, Figures]:
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    return y, x


def _distance(from_y: float, from_x: float) -> Figures:
    y, x = _places()
    return np.hypot(y - from_y, x - from_x)


# Motion


def _identical(seed: int) -> FaultyMovie:
    of = scene(seed)
    return FaultyMovie(np.repeat(of.counts()[:1], FRAME_COUNT, 0), np.zeros_like(of.shifts))


def _lattice(seed: int) -> FaultyMovie:
    """Return a lattice of 14 px and nothing else: a shift by a lattice vector looks the same."""
    of = scene(seed)
    y, x = _places()
    waves = [
        1 + 0.2 * np.cos(2 * np.pi * (x - dx) / 14) + 0.2 * np.cos(2 * np.pi * (0.5 * (x - dx) + 0.866 * (y - dy)) / 14)
        for dy, dx in of.shifts
    ]
    return _movie(of, of.counts(COUNTS * np.stack(waves)))


def _drifted(seed: int, *, drift_px: float, jitter_px: float = 0.2) -> FaultyMovie:
    return _movie(scene(seed, drift_px, jitter_px))


FAULTS = (
    Fault("none", "a clean movie", _plain),
    Fault(_FRAMES, "two empty frames first", partial(_scaled_frames, {0: 0.0, 1: 0.0})),
    Fault(_FRAMES, "three empty frames last", partial(_scaled_frames, {-1: 0.0, -2: 0.0, -3: 0.0})),
    Fault(_FRAMES, "an empty frame amid", partial(_scaled_frames, {7: 0.0})),
    Fault(_FRAMES, "first frame with 2 % of the counts", partial(_scaled_frames, {0: 0.02})),
    Fault(_FRAMES, "a frame 8 times as bright", partial(_scaled_frames, {5: 8.0})),
    Fault(_FRAMES, "a saturated frame", _saturated),
    Fault(_FRAMES, "last frame of another field", _foreign),
    Fault(_FRAMES, "first frame half lit", _half_lit),
    Fault(
        _FRAMES,
        "empty frames, --group 3",
        partial(_scaled_frames, {0: 0.0, 8: 0.0}),
        ("--group", "3"),
        ("--group_frames", "3"),
    ),
    Fault(_PIXELS, "200 hot pixels", _hot_pixels),
    Fault(_PIXELS, "a hot column", _hot_column),
    Fault(_PIXELS, "bright hole in the specimen", partial(_hole, with_specimen=True)),
    Fault(_PIXELS, "40 bright spots", _spots),
    Fault(_PIXELS, "bytes less 128, IMOD's stamp", partial(_signed, flags=1)),
    Fault(_PIXELS, "bytes less 128, no stamp", partial(_signed, flags=None)),
    Fault(_PIXELS, "16 bit less 32768", _minus_32768),
    Fault(_PIXELS, "NaN, infinity, 1e30", _not_finite),
    Fault(_PIXELS, "header names 12 of 16 frames", _surplus),
    Fault(_FIXED, "pixel gains of 5 %", partial(_pattern, amount=0.05)),
    Fault(_FIXED, "pixel gains of 10 %", partial(_pattern, amount=0.10)),
    Fault(_FIXED, "pixel gains of 12 %", partial(_pattern, amount=0.12)),
    Fault(_FIXED, "pixel gains of 15 %", partial(_pattern, amount=0.15)),
    Fault(_FIXED, "pixel gains of 25 %", partial(_pattern, amount=0.25)),
    Fault(_FIXED, "pixel gains of 10 %, 2 px of drift", partial(_pattern, amount=0.10, drift_px=2.0)),
    Fault(_FIXED, "column gains of 10 %", _columns),
    Fault(_FIXED, "beam edge", partial(_lit, illumination=_beam_edge)),
    Fault(_FIXED, "aperture", partial(_lit, illumination=_aperture)),
    Fault(_FIXED, "dark bar", partial(_lit, illumination=_grid_bar)),
    Fault(_FIXED, "bright hole at the camera", partial(_hole, with_specimen=False)),
    Fault(_MOTION, "no motion", partial(_drifted, drift_px=0.0, jitter_px=0.0)),
    Fault(_MOTION, "40 px of drift", partial(_drifted, drift_px=40.0)),
    Fault(_MOTION, "250 px of drift", partial(_drifted, drift_px=250.0)),
    Fault(_MOTION, "identical frames", _identical),
    Fault(_MOTION, "a lattice alone", _lattice),
)
"""All faults."""
