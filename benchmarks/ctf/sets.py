"""The sets of simulated micrographs: each a function of a seed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.errors import NothingToMeasure
from preprocess.simulation.micrograph_settings import Camera, MicrographSettings, Weighting

Random = np.random.Generator
Values = dict[str, Any]
_LEAST_SIDE_PX = 256


@dataclass(frozen=True, slots=True)
class MicrographSet:
    """A kind of micrographs; `draw` says what a random generator makes of it, beyond the microscope."""

    name: str
    about: str
    draw: Callable[[Random], Values]
    side_px: int = 2048
    with_phase: bool = False
    to_be_found: bool = True
    """Whether the defocus can be found at all."""

    def settings(self, seed: int) -> MicrographSettings:
        """Return the micrograph with that seed."""
        random = np.random.default_rng([zlib.crc32(self.name.partition("@")[0].encode()), seed])
        values = _microscope(random) | self.draw(random)
        return MicrographSettings(**{"height": self.side_px, "width": self.side_px, **values}, seed=seed)


def _microscope(random: Random) -> Values:
    """Return microscope, camera and ice as sessions have them."""
    voltage = float(random.choice([300, 200, 100], p=[0.5, 0.3, 0.2]))
    camera: Camera = "integrating" if random.random() < 0.2 else "counting"
    return {
        "voltage_kv": voltage,
        "cs_mm": float(random.choice({300: [2.7, 0.01], 200: [2.7, 2.0, 1.4], 100: [1.6, 2.7, 0.01]}[int(voltage)])),
        "amplitude_contrast": float(random.choice([0.07, 0.1])),
        "pixel_size_angstrom": round(_logarithmic(random, 0.5, 2.0), 4),
        "camera": camera,
        "dose_e_per_a2": random.uniform(20, 60),
        "ice_thickness_angstrom": random.uniform(150, 600),
        "ice_ring_angstrom": random.uniform(3.66, 3.74),
        "water_motion_a2_per_e": _logarithmic(random, 0.1, 0.5),
        "particle_area": random.uniform(0.05, 0.4) if random.random() < 0.7 else 0.0,
        "particle_diameter_angstrom": random.uniform(60, 250),
        "carbon_area": random.uniform(0.1, 0.8) if random.random() < 0.25 else 0.0,
        "carbon_thickness_angstrom": random.uniform(30, 200),
        "drift_angstrom": random.uniform(0, 2),
        "drift_degrees": random.uniform(-90, 90),
        "vibration_angstrom": random.uniform(0.2, 0.8),
        "energy_spread_ev": random.uniform(0.4, 1.0),
        "semi_angle_mrad": _logarithmic(random, 0.005, 0.05),
    }


def _logarithmic(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _defocus(random: Random, low_um: float, high_um: float, astigmatism: float = 0.1) -> Values:
    """Return a defocus, spread evenly over its logarithm, and U - V of up to that share of it."""
    mean = 1e4 * _logarithmic(random, low_um, high_um)
    half = mean * random.uniform(0, astigmatism) / 2
    return {
        "defocus_u_angstrom": mean + half,
        "defocus_v_angstrom": mean - half,
        "angle_degrees": random.uniform(-90, 90),
    }


def _weighting(random: Random, plain: float) -> Values:
    rest = (1 - plain) / 2
    weightings: list[Weighting] = ["none", "noise kept", "noise coloured"]
    return {"dose_weighting": weightings[random.choice(3, p=[plain, rest, rest])]}


def _mixed(random: Random) -> Values:
    return _defocus(random, 0.2, 4.0) | _weighting(random, 0.86)


def _clean(random: Random) -> Values:
    return _defocus(random, 0.7, 2.5, 0.04) | {
        "voltage_kv": 300.0,
        "cs_mm": 2.7,
        "camera": "counting",
        "pixel_size_angstrom": round(random.uniform(0.8, 1.2), 4),
        "dose_e_per_a2": random.uniform(40, 50),
        "carbon_area": 0.0,
        "particle_area": random.uniform(0.1, 0.4),
    }


def _tilt(random: Random) -> Values:
    return _defocus(random, 1.0, 3.0) | {
        "tilt_degrees": random.uniform(5, 40),
        "tilt_axis_degrees": random.uniform(-180, 180),
    }


def _faint(random: Random) -> Values:
    return _defocus(random, 0.5, 3.0) | {
        "dose_e_per_a2": random.uniform(4, 12),
        "ice_thickness_angstrom": random.uniform(150, 400),
        "carbon_area": 0.0,
    }


def _phase(random: Random) -> Values:
    return _defocus(random, 0.3, 2.5) | {"phase_shift_degrees": random.uniform(20, 160)}


def _high(random: Random) -> Values:
    return _defocus(random, 2.0, 4.8)


def _low(random: Random) -> Values:
    return _defocus(random, 0.2, 0.6)


def _thick(random: Random) -> Values:
    return _defocus(random, 0.8, 3.5) | {
        "ice_thickness_angstrom": random.uniform(500, 2500),
        "carbon_area": 0.0,
    }


def _ugly(random: Random) -> Values:
    large = random.random() < 0.5
    return (
        _defocus(random, 0.4, 3.5)
        | _weighting(random, 0.4)
        | {
            "carbon_area": random.uniform(0.1, 0.6),
            "foil_area": random.uniform(0.05, 0.3) if random.random() < 0.3 else 0.0,
            "ice_crystals": int(random.integers(0, 6) if large else random.integers(0, 40)),
            "ice_crystal_angstrom": random.uniform(200, 500) if large else random.uniform(60, 200),
            "contaminations": int(random.integers(0, 8)),
            "hot_pixels_per_million": _logarithmic(random, 1, 300),
            "saturated_area": random.uniform(0.01, 0.1) if random.random() < 0.3 else 0.0,
            "fixed_pattern": random.uniform(0, 0.03) if random.random() < 0.3 else 0.0,
            "tilt_degrees": random.uniform(0, 15) if random.random() < 0.3 else 0.0,
            "tilt_axis_degrees": random.uniform(-180, 180),
            "drift_angstrom": random.uniform(0, 5),
        }
    )


_SMALL = {"height": 1024, "width": 1024}

_NULL_KINDS: tuple[Callable[[Random], Values], ...] = (
    lambda _: {"content": "empty"},
    lambda random: {"content": "empty", "fixed_pattern": random.uniform(0.01, 0.05)},
    lambda _: {"content": "grid bar", "contaminations": 3},
    lambda _: {"content": "rings missing"},
    lambda random: (
        {"content": "rings missing", "carbon_area": 0.5, "foil_area": 0.2, "ice_crystals": 20} | _weighting(random, 0.3)
    ),
    lambda _: {"content": "rings missing", "ice_crystals": 40, "ice_crystal_angstrom": 150.0},
    lambda random: _defocus(random, 6, 15),
    lambda random: _defocus(random, 0.005, 0.05),
    lambda random: {"ice_thickness_angstrom": random.uniform(5000, 9000), "carbon_area": 0.0, **_SMALL},
    lambda random: {"vibration_angstrom": random.uniform(12, 20), "carbon_area": 0.0},
    lambda random: {"dose_e_per_a2": random.uniform(0.1, 0.4), "particle_area": 0.0, "carbon_area": 0.0},
)
"""Nothing; only the camera; hardly any light; specimens without rings; defocus out of range; rings that got lost."""


def _null(random: Random) -> Values:
    kind = _NULL_KINDS[random.integers(len(_NULL_KINDS))]
    return _defocus(random, 0.3, 3.0) | kind(random)


_SETS = (
    MicrographSet("mixed", "0.2 to 4 µm, 100 to 300 kV, 0.5 to 2 Å/px, 20 to 60 e/Å²", _mixed),
    MicrographSet("clean", "4096², 300 kV, 0.7 to 2.5 µm, particles in ice", _clean, side_px=4096),
    MicrographSet("tilt", "tilted by 5 to 40 degrees", _tilt),
    MicrographSet("faint", "4 to 12 e/Å²", _faint),
    MicrographSet("phase", "phase shifts of 20 to 160 degrees", _phase, with_phase=True),
    MicrographSet("high", "2 to 4.8 µm", _high),
    MicrographSet("low", "0.2 to 0.6 µm", _low),
    MicrographSet("thick", "ice of 500 to 2500 Å", _thick),
    MicrographSet("ugly", "carbon, foil, crystals, lumps, faulty pixels, dose weighting", _ugly),
    MicrographSet("null", "no rings, or none that can be fitted", _null, to_be_found=False),
)

SETS = {one.name: one for one in _SETS}


def find_set(name: str) -> MicrographSet:
    """Return a set by name; `NAME@SIDE` is one of images of another size.

    Raises
    ------
    NothingToMeasure
        There is no such set; the text names those that there are.
    """
    base, at, side = name.partition("@")
    found = SETS.get(base)
    if found is None:
        raise NothingToMeasure(f"no set of micrographs is called {base}", hint=f"Sets: {', '.join(SETS)}.")
    if not at:
        return found
    if not side.isdigit() or int(side) < _LEAST_SIDE_PX:
        raise NothingToMeasure(
            f"{name}: a size is one number of px, {_LEAST_SIDE_PX} or more", hint=f"For instance {base}@1024."
        )
    return replace(found, name=name, side_px=int(side))
