"""Clusters of beam shifts, from patterns of holes that scatter and come in any order."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from api.registrars.relion_beam_shifts import FIRST_RADIUS, MOST_CLUSTERS, Cluster, HolePattern, ShiftedExposure

PATTERNS = {
    1: [(0, 0)],
    9: [(x, y) for x in range(-1, 2) for y in range(-1, 2)],
    21: [(x, y) for x in range(-2, 3) for y in range(-2, 3) if abs(x) + abs(y) < 4],
    81: [(x, y) for x in range(-4, 5) for y in range(-4, 5)],
}
Known = tuple[int, ShiftedExposure]


def afis(
    holes: int, stops: int, source: random.Random, *, spacing: float = 0.05, scatter: float = 0.05, shots: int = 1
) -> list[list[Known]]:
    """Return the exposures of each stop, in random order, with the hole of the pattern that each is of.

    `scatter` is the standard deviation of a beam shift, of the spacing; shots lie around the middle of the hole.
    """
    turn = source.uniform(0, math.pi)
    exposures = []
    for stop in range(stops):
        taken = []
        for number, (x, y) in enumerate(PATTERNS[holes]):
            for shot in range(shots):
                angle, away = 2 * math.pi * shot / shots, 0.2 if shots > 1 else 0.0
                along = x + away * math.cos(angle) + source.gauss(0, scatter)
                across = y + away * math.sin(angle) + source.gauss(0, scatter)
                shift = (
                    0.01 + spacing * (math.cos(turn) * along - math.sin(turn) * across),
                    spacing * (math.sin(turn) * along + math.cos(turn) * across) - 0.02,
                )
                stage = 9.0 * stop + source.gauss(0, 0.01), source.gauss(0, 0.01)
                taken.append((number, ShiftedExposure(*shift, stage, f"{stop}-{number}")))
        source.shuffle(taken)
        exposures.append(taken)
    return exposures


def clustered(exposures: list[Known]) -> dict[str, Counter[int]]:
    """Return how many exposures of each hole of the pattern are in each cluster."""
    pattern, clusters = HolePattern(), dict[str, Cluster]()
    found: dict[str, Counter[int]] = {}
    for hole, exposure in exposures:
        name = pattern.choose(exposure, clusters)
        if name is None:
            name = str(len(clusters) + 1)
            clusters[name] = Cluster(exposure.x, exposure.y)
        else:
            clusters[name].add(exposure)
        pattern.remember(exposure, name)
        found.setdefault(name, Counter())[hole] += 1
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("any_order", [False, True])
@pytest.mark.parametrize("holes", PATTERNS)
def test_each_hole_of_the_pattern_is_a_cluster(holes: int, any_order: bool, seed: int) -> None:
    source = random.Random(seed)
    exposures = [each for stop in afis(holes, 6 if holes == 81 else 20, source) for each in stop]
    if any_order:
        source.shuffle(exposures)
    found = clustered(exposures)
    assert len(found) == holes
    assert all(len(of_cluster) == 1 for of_cluster in found.values())


@pytest.mark.parametrize("spacing", [0.025, 0.04, 0.09])
@pytest.mark.parametrize("holes", PATTERNS)
def test_the_spacing_need_not_be_known(holes: int, spacing: float) -> None:
    exposures = afis(holes, 6, random.Random(7), spacing=spacing)
    found = clustered([each for stop in exposures for each in stop])
    assert len(found) == holes
    assert all(len(of_cluster) == 1 for of_cluster in found.values())


@pytest.mark.parametrize("holes", [9, 21, 81])
def test_shots_in_one_hole_are_of_its_cluster(holes: int) -> None:
    exposures = afis(holes, 6, random.Random(1), shots=4)
    found = clustered([each for stop in exposures for each in stop])
    assert len(found) == holes
    assert all(len(of_cluster) == 1 for of_cluster in found.values())


def test_without_afis_there_is_one_cluster() -> None:
    source = random.Random(2)
    exposures = [
        (0, ShiftedExposure(source.gauss(0, 0.004), source.gauss(0, 0.004), (2.5 * number, 0.0), str(number)))
        for number in range(200)
    ]
    assert len(clustered(exposures)) == 1
    unread = [(0, ShiftedExposure(each.x, each.y, (1.0, 1.0), each.hole)) for _, each in exposures]
    assert len(clustered(unread)) == 1, "the stage was not read anew: these are no neighbouring holes"
    assert len(clustered([(0, ShiftedExposure(each.x, each.y)) for _, each in exposures])) == 1


def test_shifts_in_no_pattern_make_a_limited_number() -> None:
    source = random.Random(3)
    exposures = [
        (0, ShiftedExposure(source.uniform(-0.4, 0.4), source.uniform(-0.4, 0.4), (9.0 * number, 0.0), str(number)))
        for number in range(3000)
    ]
    assert len(clustered(exposures)) < 1.5 * (0.8 / FIRST_RADIUS) ** 2


def test_a_mean_stays_after_many_exposures() -> None:
    cluster = Cluster(0.0, 0.0)
    changes = [cluster.add(ShiftedExposure(1.0, 0.0)) for _ in range(100)]
    assert changes == sorted(changes, reverse=True)
    assert sum(changes) == 49
    assert cluster.x == pytest.approx(0.98)


def test_far_beam_shifts_in_no_pattern_make_a_limited_number_of_clusters() -> None:
    pattern, clusters = HolePattern(), {str(number): Cluster(10.0 * number, 0) for number in range(MOST_CLUSTERS)}
    assert pattern.choose(ShiftedExposure(14, 0), clusters) == "1"
    del clusters["1"]
    assert pattern.choose(ShiftedExposure(14, 0), clusters) is None
