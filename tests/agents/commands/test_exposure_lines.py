"""One line an exposure, in the width that there is."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from agents.commands.exposure_lines import ExposureLine, one_line, print_lines, shortened, shortened_path

PATH = "Images-Disc1/GridSquare_25594124/Data/FoilHole_25647995_Data_25597084_1_20261128_215604_fractions.tiff"
REASON = "AcquisitionConflict: the pixel size is 0.83 Å in the sidecar and 1.66 Å in the header"


def line(**values: Any) -> ExposureLine:
    usual = {"state": "failed", "style": "bold red", "since": "2 h", "motion": "", "registered": "", "movie": PATH}
    return ExposureLine(**{**usual, "reason": REASON, **values})


def terminal(width: int, **more: Any) -> Console:
    return Console(file=sys.stdout, force_terminal=True, width=width, **more)


@pytest.mark.parametrize("width", [72, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_the_movies_can_be_told_apart(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {"motion": "12.3 Å", "ctf": "1.40 µm, 3.9 Å"}
    lines = [line(), line(movie=PATH.replace("215604", "215608"), registered="relion, scipion", **measured)]
    print_lines(lines, terminal(width, no_color=True, color_system=None), full=False)
    _, *printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert all(cell_len(text) <= width for text in printed), printed
    assert "215604_fractions.tiff" in printed[0]
    assert "215608_fractions.tiff" in printed[1]
    assert "AcquisitionConflict" in printed[0]


def test_in_a_pipe_nothing_is_cut_and_each_exposure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([line(reason=f"{REASON}\nand more")], Console(file=io.StringIO(), width=80), full=False)
    heading, printed = capsys.readouterr().out.splitlines()
    assert heading.split() == ["state", "since", "exposure", "reason"]
    assert printed.split("  ")[-2:] == [PATH, f"{REASON} and more"]


def test_the_ctf_has_a_column_where_one_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([line(ctf="1.40 µm, 3.9 Å"), line()], Console(file=io.StringIO(), width=80), full=False)
    heading, with_ctf, _ = capsys.readouterr().out.splitlines()
    assert heading.split() == ["state", "since", "CTF", "exposure", "reason"]
    assert "  1.40 µm, 3.9 Å  " in with_ctf


def test_in_full_the_reason_and_what_to_do_stand_below(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([line(hint="Give --pixel-size.")], terminal(70, color_system=None), full=True)
    _, *printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(PATH)
    assert len(printed) == 4
    assert " ".join(text.strip() for text in printed[1:3]) == REASON
    assert all(text.startswith("    ") and len(text) <= 70 for text in printed[1:])
    assert printed[3] == "    Give --pixel-size."


def test_colour_is_for_terminals_that_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([line()], terminal(80, color_system="standard"), full=False)
    assert "\x1b[1;31mfailed\x1b[0m" in capsys.readouterr().out
    print_lines([line()], Console(file=io.StringIO()), full=False)
    assert "\x1b" not in capsys.readouterr().out


def test_a_name_cannot_control_the_terminal() -> None:
    assert one_line("a\x1b[31mb\nc\td\x07") == r"a\x1b[31mb c d\x07"
    assert one_line("Ångström") == "Ångström"


@pytest.mark.parametrize("text", ["abcdefghij", "冷凍電子顕微鏡画像", "ångström über"])
def test_what_is_shortened_fits_and_says_so(text: str) -> None:
    for width in (5, 6, 9):
        assert cell_len(shortened(text, width)) <= width
        assert shortened(text, width).endswith("…")
        assert cell_len(shortened_path(text, width)) <= width
        assert shortened_path(text, width).startswith("…")
        assert text.endswith(shortened_path(text, width)[1:])
    assert shortened(text, 40) == shortened_path(text, 40) == text
