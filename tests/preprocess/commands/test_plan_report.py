"""Lines of a dry run: short where movies are alike, and readable in narrow terminals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from preprocess.commands.plan_report import PlanPrinter
from preprocess.simulation import SimulationSettings, simulate_movie
from tests.running import COMMAND, clean_environment


def test_what_is_as_before_is_only_named_also_with_the_movie_s_name_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    printer = PlanPrinter()
    for stem in ("a_1_fractions", "a_2_fractions"):
        rows = [("frames", "5"), ("gain", f"{stem.removesuffix('_fractions')}_gain.tiff"), ("problem", "the same")]
        printer.print(f"would align: {stem}.tiff", f"{stem}.tiff", rows)
    printer.print("would align: c.tiff", "c.tiff", [("frames", "5"), ("gain", "other.mrc")])
    assert capsys.readouterr().out.splitlines() == [
        "would align: a_1_fractions.tiff",
        "  frames      5",
        "  gain        a_1_gain.tiff",
        "  problem     the same",
        "would align: a_2_fractions.tiff",
        "  as before   frames, gain",
        "  problem     the same",
        "would align: c.tiff",
        "  as before   frames",
        "  gain        other.mrc",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_no_line_is_wider_than_it(tmp_path: Path, columns: int) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, gain=False)).write(folder / "a\x1b.eer")
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    done = subprocess.run(
        [*COMMAND, "align", str(folder), "-o", str(tmp_path / "out"), "--dry-run", "--voltage", "300"],
        env=clean_environment(COLUMNS=str(columns)),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    told = os.read(ours, 1 << 16).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, told
    lines = told.splitlines()
    assert lines[0] == "would align: a\\x1B.eer"
    assert max(map(len, lines)) <= columns
    assert [line[:14].strip() for line in lines[1:] if line[2] != " "] == [
        *("frames", "exposure", "dose", "gain", "warning", "micrograph")
    ]
    assert not (tmp_path / "out").exists()
