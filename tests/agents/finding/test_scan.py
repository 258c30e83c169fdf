"""Movies at rest take turns; all others are looked at by each walk."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.finding import scan as scan_module
from agents.finding.scan import Scanner
from preprocess.layouts import FLAT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(30):
        movie = tmp_path / f"square_{number % 3}" / f"{number}.tiff"
        movie.parent.mkdir(exist_ok=True)
        movie.write_bytes(b"x")
    return tmp_path


def test_each_movie_at_rest_has_its_turn(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "LOOKS_AT_REST", 8)
    scanner = Scanner(source, FLAT)
    every = set(scanner.scan().movies)
    awake = {"square_0/0.tiff", "square_1/1.tiff"}
    at_rest = every - awake
    walks = [set(scanner.scan(at_rest).movies) for _ in range(1 + len(at_rest) // 8)]
    assert set.union(*walks) == every
    assert all(awake <= walk for walk in walks)
    assert sum(len(walk - awake) for walk in walks) == len(at_rest), "each once"


def test_few_movies_at_rest_are_looked_at_by_each_walk(source: Path) -> None:
    scanner = Scanner(source, FLAT)
    every = scanner.scan().movies
    assert scanner.scan(set(every)).movies == every
