"""How often folders are listed."""

from __future__ import annotations

import os

import pytest

from preprocess.gains.reference_folders import LONGEST_S, ReferenceFolders
from preprocess.gains.reference_names import References


class Clock:
    """A clock that a listing moves on."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(name="listings")
def _listings(monkeypatch):
    """Each listing takes a second."""
    made, clock, listed = [], Clock(), os.scandir

    def slow(folder):
        made.append(folder)
        clock.now_s += 1
        return listed(folder)

    monkeypatch.setattr(os, "scandir", slow)
    return made, clock


def test_a_folder_at_rest_is_listed_once_a_minute(tmp_path, listings):
    made, clock = listings
    (tmp_path / "gain.mrc").touch()
    os.utime(tmp_path, (1000, 1000))
    folders = ReferenceFolders(clock)
    for _ in range(20):
        assert folders.references(tmp_path) == References(gains=("gain.mrc",))
    assert len(made) == 1
    clock.now_s += LONGEST_S + 1
    folders.references(tmp_path)
    assert len(made) == 2


def test_a_folder_that_changes_all_the_time_is_listed_for_a_small_part_of_it(tmp_path, listings):
    made, clock = listings
    folders = ReferenceFolders(clock)
    while clock.now_s < 1000:
        os.utime(tmp_path, (1000 + clock.now_s, 1000 + clock.now_s))
        folders.references(tmp_path)
        clock.now_s += 1
    assert 20 < len(made) < 40
    (tmp_path / "gain.mrc").touch()
    clock.now_s += 31
    assert folders.references(tmp_path) == References(gains=("gain.mrc",))


def test_what_is_no_folder_has_no_references(tmp_path):
    (tmp_path / "gain").touch()
    folders = ReferenceFolders()
    assert folders.references(tmp_path / "gain") == folders.references(tmp_path / "none") == References()
