from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from api.registrars.star import PAGE_BYTES, FileMark, append_rows, pieces, read_star, write_star
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
COLUMNS = ("rlnMicrographName", "rlnOpticsGroup")
OPTICS = {"optics": (("rlnOpticsGroup", "rlnVoltage"), ["1 300.0"])}


def listed(path: Path) -> list[str]:
    return [row["rlnMicrographName"] for row in read_star(path)["micrographs"].rows()]


def test_star_is_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "list.star"
    mark = write_star(path, {**OPTICS, "micrographs": (COLUMNS, ["a.mrc 1", "b.mrc 1"])})
    assert append_rows(path, mark, ["c.mrc 1"])
    tables = read_star(path)
    assert tables["optics"].rows() == [{"rlnOpticsGroup": "1", "rlnVoltage": "300.0"}]
    assert tables["micrographs"].columns == COLUMNS
    assert listed(path) == ["a.mrc", "b.mrc", "c.mrc"]
    seen = starfile.read(path, always_dict=True)
    assert list(seen["micrographs"]["rlnMicrographName"]) == ["a.mrc", "b.mrc", "c.mrc"]
    assert list(seen["optics"]["rlnVoltage"]) == [300.0]


def test_an_empty_table_is_left_out(tmp_path: Path) -> None:
    write_star(tmp_path / "list.star", {"optics": ((), []), "micrographs": (COLUMNS, [])})
    assert read_star(tmp_path / "list.star") == {}


def test_many_appended_rows_are_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "list.star"
    mark: FileMark | None = write_star(path, {**OPTICS, "micrographs": (COLUMNS, ["0.mrc 1"])})
    names = [f"{number}{'x' * (number % 97)}.mrc" for number in range(1, 600)]
    for first in range(0, len(names), 7):
        assert mark is not None
        mark = append_rows(path, mark, [f"{name} 1" for name in names[first : first + 7]])
    assert listed(path) == ["0.mrc", *names]
    assert list(starfile.read(path, always_dict=True)["micrographs"]["rlnMicrographName"]) == ["0.mrc", *names]


@given(st.integers(0, 3 * PAGE_BYTES), st.lists(st.integers(1, PAGE_BYTES + 200), max_size=60))
def test_no_piece_holds_a_part_of_a_row_that_fits_into_a_page(offset: int, lengths: list[int]) -> None:
    lines = [f"{number % 10}" * length for number, length in enumerate(lengths)]
    end = offset
    for piece in pieces(offset, lines):
        one_page = end // PAGE_BYTES == (end + len(piece) - 1) // PAGE_BYTES
        assert one_page or len(piece) > PAGE_BYTES
        assert piece.endswith(b"\n") or not piece.strip()
        end += len(piece)
    assert [line.strip() for line in b"".join(pieces(offset, lines)).decode().splitlines()] == lines


@pytest.mark.parametrize("change", ["touched", "longer", "replaced", "gone"])
def test_a_file_that_somebody_changed_is_not_appended_to(tmp_path: Path, change: str) -> None:
    path = tmp_path / "list.star"
    mark = write_star(path, {"micrographs": (COLUMNS, ["a.mrc 1"])})
    if change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "longer":
        path.write_text(path.read_text() + "\n")
        os.utime(path, ns=(1, mark.mtime_ns))
    elif change == "replaced":
        content = path.read_bytes()
        path.rename(tmp_path / "kept")
        path.write_bytes(content)
        os.utime(path, ns=(1, mark.mtime_ns))
    else:
        path.unlink()
    before = path.read_bytes() if path.exists() else None
    assert append_rows(path, mark, ["b.mrc 1"]) is None
    assert (path.read_bytes() if path.exists() else None) == before


def test_no_part_of_a_row_is_seen_or_left_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "list.star"
    program = """
import sys
from pathlib import Path
from api.registrars.star import append_rows, write_star

path, number = Path(sys.argv[1]), 0
mark = write_star(path, {"micrographs": (("rlnMicrographName", "rlnOpticsGroup"), ["0.mrc 1"])})
while True:
    rows = [f"{n}{'x' * (n % 251)}.mrc 1" for n in range(number + 1, number + 101)]
    mark, number = append_rows(path, mark, rows), number + 100
"""
    seen = 0
    for _ in range(3):
        path.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT)
        wait_until(path.exists, "the first row", pause_s=0.001)
        while seen < 4000:
            seen = len(whole_rows(path))
        process.kill()
        process.wait()
        assert len(whole_rows(path)) >= seen
        seen = 0


def whole_rows(path: Path) -> list[str]:
    """Return the rows, each of which must be whole."""
    lines = read_star(path)["micrographs"].lines
    for number, line in enumerate(lines):
        assert line == f"{number}{'x' * (number % 251)}.mrc 1"
    return lines
