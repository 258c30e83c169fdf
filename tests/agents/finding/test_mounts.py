"""An empty folder where something was mounted is no source without movies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.finding.mounts import MountPoints, mount_points
from agents.finding.scan import Scan, Scanner
from preprocess.layouts import FLAT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a folder")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A folder with a movie, on the same disk as the place where it is mounted."""
    movie = tmp_path / "part" / "session" / "0.tiff"
    movie.parent.mkdir(parents=True)
    movie.write_bytes(b"x")
    return tmp_path / "part"


@pytest.fixture
def place(tmp_path: Path, part: Path) -> Iterator[Path]:
    folder = tmp_path / "a place, ä"
    folder.mkdir()
    bind(part, folder)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


def bind(part: Path, place: Path) -> None:
    result = subprocess.run(["mount", "--bind", part, place], check=False, capture_output=True)
    if result.returncode:
        pytest.skip("may not mount a folder here")


@pytest.fixture
def scan() -> Callable[[Path], Scan]:
    known: dict[Path, set[str]] = {}

    def scan_once(source: Path) -> Scan:
        found = Scanner(source, FLAT).scan(mounts=MountPoints(known.get(source, ())))
        if not found.missing_root:
            known[source] = found.mounts
        return found

    return scan_once


@pytest.mark.parametrize("below", [".", "session"])
def test_a_part_of_the_same_disk_that_is_mounted_is_waited_for(
    part: Path, place: Path, scan: Callable[[Path], Scan], below: str
) -> None:
    source = place / below
    assert len(scan(source).movies) == 1
    subprocess.run(["umount", place], check=True)
    source.mkdir(exist_ok=True)
    for _ in range(2):
        assert "nothing is mounted there any more" in scan(source).missing_root
    bind(part, place)
    assert len(scan(source).movies) == 1


def test_a_file_in_the_folder_says_that_nothing_is_to_be_mounted(place: Path, scan: Callable[[Path], Scan]) -> None:
    source = place / "session"
    scan(source)
    subprocess.run(["umount", place], check=True)
    source.mkdir()
    (source / "1.tiff").write_bytes(b"x")
    assert set(scan(source).movies) == {"1.tiff"}
    (source / "1.tiff").unlink()
    assert not scan(source).missing_root


def test_a_folder_of_any_name_is_known_as_a_mount_point(place: Path) -> None:
    assert os.fspath(place) in mount_points()
    assert "/" in mount_points()
