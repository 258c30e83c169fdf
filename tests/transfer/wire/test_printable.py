"""What could control a terminal or a log is escaped, and all else stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.wire.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07\x00", r"\x1b[2J\x07\x00"),
        ("one\r\ntwo\tthree", r"one\r\ntwo\tthree"),
        ("\x7f\x9b31m", r"\u007f\u009b31m"),
        ("gpj\u202e.exe", r"gpj\u202e.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c", r"\u2066a\u2069\u200e\u200f\u061c"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\u200bb\u200dc\ufeff", r"a\u200bb\u200dc\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("\udce9", r"\udce9"),
        ("Ångström µm 冷凍 ✓ [red]x[/red] :smile:", None),
    ],
)
def test_examples(text: str, shown: str | None) -> None:
    assert printable(text) == (shown or text)


def test_a_text_of_several_lines_keeps_them() -> None:
    assert printable_lines("a\n\tb\x1b\n") == "a\n\tb\\x1b\n"


@given(st.text())
def test_all_that_comes_out_is_printable_and_comes_out_again_unchanged(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert all(line.isprintable() for line in printable_lines(text).replace("\t", "").split("\n"))


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_json_stays_json_of_the_same_value(text: str) -> None:
    written = json.dumps(text, ensure_ascii=False)
    assert json.loads(printable(written)) == text
