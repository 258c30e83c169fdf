"""Finds exposures of equal beam tilt by EPU's beam shift, while they arrive.

With aberration-free image shift (AFIS), EPU stops the stage, shifts beam and image to each hole around it, and moves
on; the beam shifts of a session therefore lie in clusters, one for each hole of the pattern around a stop, and scatter
by what the stage is off. What an exposure got is never changed, so clusters are found in one pass:

1. Exposures of one hole at one stop are of one cluster.
2. Any other exposure joins the cluster with the nearest mean within a radius, or begins one.
3. The radius is `RADIUS` of the hole spacing, which is taken from the distances of the holes of a stop to their nearest
   neighbours, over the last stops, in EPU's own unit, whose size differs between microscopes. As long as fewer than
   `ENOUGH_HOLES` distances are known they may be too large: then it is at most `FIRST_RADIUS`, which it also is without
   AFIS, where no two holes share a stop.

A cluster begins farther than a radius from all others, and none behind `MOST_CLUSTERS`, so that beam shifts in no
pattern at all, or in a unit in which the first radius is small, make a limited number of them too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from transfer.wire.exposure_record import ExposureRecord

RADIUS = 0.6
"""Of the hole spacing. Above one half, since the distance to the nearest of several holes that scatter is too small."""
FIRST_RADIUS = 0.03
"""In EPU's unit, whose size is not documented; in real metadata beam shifts reach 0.4."""
ENOUGH_HOLES = 60
MOST_CLUSTERS = 500
"""More than holes can be around a stop. RELION keeps tables for each group."""
LEAST_SPACING = 0.02
"""In EPU's unit. Closer exposures are not taken for ones of two holes at one stop: the stage was not read anew."""
SAME_STOP_UM = 0.4
_STOPS = 64
"""How many are remembered."""
_MOST_HOLES = 128
"""Holes of a stop that are compared. A stage that is not read anew would have all holes of a session at one stop."""
_MEAN_OF = 50
"""Exposures after which a cluster's mean stays."""


@dataclass(frozen=True, slots=True)
class ShiftedExposure:
    """Where the beam was, in EPU's unit, where the stage was, and at which hole. None: unknown."""

    x: float
    y: float
    stage_um: tuple[float, float] | None = None
    hole: str | None = None

    @classmethod
    def of(cls, record: ExposureRecord) -> Self | None:
        """Return what a record says; None if it says nothing about the beam shift."""
        known = record.acquisition
        if known.beam_shift_x is None or known.beam_shift_y is None:
            return None
        stage = None
        if known.stage_x_um is not None and known.stage_y_um is not None:
            stage = known.stage_x_um, known.stage_y_um
        return cls(known.beam_shift_x, known.beam_shift_y, stage, known.foil_hole)


@dataclass(slots=True)
class Cluster:
    """The mean of a cluster's beam shifts, over so many of its exposures."""

    x: float
    y: float
    count: int = 1

    def add(self, exposure: ShiftedExposure) -> bool:
        """Let the mean follow; return whether it changed."""
        if self.count >= _MEAN_OF:
            return False
        self.count += 1
        self.x += (exposure.x - self.x) / self.count
        self.y += (exposure.y - self.y) / self.count
        return True


class _Stop:
    """What was exposed at one stop of the stage: the mean beam shift at each hole, and the clusters that holes got."""

    def __init__(self, stage_um: tuple[float, float]) -> None:
        self.stage_um = stage_um
        self.clusters: dict[str, str] = {}
        self._means: dict[str, Cluster] = {}
        self.nearest: list[float] = []
        """Of each hole that has a neighbour, the distance to the nearest one."""

    def has_room_for(self, hole: str) -> bool:
        """Return whether a hole is among those of the stop, or can be."""
        return hole in self._means or len(self._means) < _MOST_HOLES

    def add(self, exposure: ShiftedExposure, hole: str) -> None:
        """Count an exposure of a hole."""
        mean = self._means.get(hole)
        if mean is None:
            self._means[hole] = Cluster(exposure.x, exposure.y)
        else:
            mean.add(exposure)
        points = [(each.x, each.y) for each in self._means.values()]
        distances = [
            min((math.dist(one, other) for other in points if other is not one), default=0.0) for one in points
        ]
        self.nearest = [distance for distance in distances if distance >= LEAST_SPACING]


class HolePattern:
    """The pattern of holes around the stops of the stage, of which the last ones are remembered."""

    def __init__(self) -> None:
        self._stops: deque[_Stop] = deque(maxlen=_STOPS)

    @property
    def radius(self) -> float:
        """How far an exposure may be from the mean of its cluster, in EPU's unit."""
        nearest = sorted(distance for stop in self._stops for distance in stop.nearest)
        if not nearest:
            return FIRST_RADIUS
        of_spacing = RADIUS * nearest[len(nearest) // 5]
        return of_spacing if len(nearest) >= ENOUGH_HOLES else min(of_spacing, FIRST_RADIUS)

    def choose(self, exposure: ShiftedExposure, clusters: Mapping[str, Cluster]) -> str | None:
        """Return the name of the exposure's cluster, one of those given; None: it begins one."""
        stop, hole = self._stop_of(exposure), exposure.hole or ""
        if stop is not None:
            stop.add(exposure, hole)
            if stop.clusters.get(hole) in clusters:
                return stop.clusters[hole]
        distances = {name: math.dist((each.x, each.y), (exposure.x, exposure.y)) for name, each in clusters.items()}
        nearest = min(distances, key=distances.__getitem__, default=None)
        if nearest is None or (distances[nearest] > self.radius and len(clusters) < MOST_CLUSTERS):
            return None
        return nearest

    def remember(self, exposure: ShiftedExposure, name: str) -> None:
        """Take note of the cluster that an exposure got."""
        stop = self._stop_of(exposure)
        if stop is not None:
            stop.clusters.setdefault(exposure.hole or "", name)

    def _stop_of(self, exposure: ShiftedExposure) -> _Stop | None:
        """Return the stop at which an exposure was taken; None: not known."""
        if exposure.stage_um is None or exposure.hole is None:
            return None
        for stop in reversed(self._stops):
            if math.dist(stop.stage_um, exposure.stage_um) < SAME_STOP_UM and stop.has_room_for(exposure.hole):
                return stop
        self._stops.append(_Stop(exposure.stage_um))
        return self._stops[-1]
