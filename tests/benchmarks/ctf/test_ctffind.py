"""What is typed at CTFFIND's questions, and how its answer is read. A script stands in for the program."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.ctf.answers import CtfQuestion
from benchmarks.ctf.ctffind import ctffind_answer, read_figures
from benchmarks.errors import ResultUnreadable

QUESTION = CtfQuestion(pixel_size_angstrom=1.736, voltage_kv=300, cs_mm=0.01, amplitude_contrast=0.1)
COMMENTS = "".join(f"# {line}\n" for line in ("Output from CTFFind version 5.0.2", "Input", "Pixel", "Box", "Columns"))
LINE = "1.000000 38156.687500 38267.285156 -28.532227 0.349066 0.304395 3.279823 0.000000 0.000000 0.000000\n"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a `ctffind` on the PATH, which answers with a line of text."""

    def install(line):
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "ctffind"
        told = 'cat > asked.txt; echo "$@ $OMP_NUM_THREADS" > told.txt'
        script.write_text(f"#!/bin/sh\n{told}\ncat > picture.txt <<'E'\n{COMMENTS}{line}E\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        work = tmp_path / "work"
        work.mkdir()
        return work

    return install


def test_questions_are_answered_in_their_order(program, tmp_path) -> None:
    work = program(LINE)
    answer = ctffind_answer(tmp_path / "a.mrc", QUESTION, 2, work)
    asked = (work / "asked.txt").read_text().split()
    assert " ".join(asked[2:]) == "1.736 300 0.01 0.1 512 30 5 1000 50000 100 no no no no no no no"
    assert asked[:2] == [str(tmp_path / "a.mrc"), str(work / "picture.mrc")]
    assert (work / "told.txt").read_text().split() == ["-j", "2", "2"]
    assert (answer.method, answer.failure, answer.reliable) == ("ctffind-2", "", True)
    assert (answer.defocus_u_angstrom, answer.defocus_v_angstrom) == (38267.285156, 38156.6875)  # U is the larger
    assert answer.angle_degrees == pytest.approx(61.467773)
    assert answer.phase_shift_degrees == pytest.approx(20, abs=0.01)
    assert answer.wall_s > 0


def test_a_phase_shift_is_sought_where_the_question_says_so(program, tmp_path) -> None:
    work = program(LINE)
    ctffind_answer(tmp_path / "a.mrc", replace(QUESTION, find_phase_shift=True), 1, work)
    assert (work / "asked.txt").read_text().split("\n")[12:-1] == [
        "no",
        "no",
        "no",
        "yes",
        "0",
        "3.15",
        "0.35",
        "no",
        "no",
    ]


def test_an_answer_that_is_no_number_is_a_failure(program, tmp_path) -> None:
    work = program("1.000000 nan nan 0.0 0.0 0.0 inf 0.0 0.0 0.0\n")
    answer = ctffind_answer(tmp_path / "a.mrc", QUESTION, 1, work)
    assert "has no result" in answer.failure


def test_a_fit_of_infinite_resolution_is_an_answer_that_is_not_reliable(program, tmp_path) -> None:
    work = program(LINE.replace("3.279823", "inf"))
    answer = ctffind_answer(tmp_path / "a.mrc", QUESTION, 1, work)
    assert (answer.failure, answer.reliable) == ("", False)


@pytest.mark.parametrize("text", [COMMENTS, COMMENTS + "1.0 2.0\n", "garbage here\n"])
def test_a_file_without_a_result_is_unreadable(tmp_path, text) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ResultUnreadable, match=r"a\.txt"):
        read_figures(tmp_path / "a.txt")
    with pytest.raises(ResultUnreadable):
        read_figures(tmp_path / "none.txt")
