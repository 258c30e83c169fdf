"""The text of a name: reversible, never the same for two names, encodable, and harmless to a terminal."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocess.escaped_names import encodable, escaped, for_terminal, unescaped

_TRICKY = (
    b"\\",
    b"x",
    b"\\x41",
    b"\\x5C",
    b"\xe9",
    b"\xc3",
    b"\xa9",
    b"\n",
    b"\x1b[31m",
    b"\x7f",
    b"\xe2\x80\xae",
    b"a",
)
name = st.one_of(st.binary(max_size=255), st.lists(st.sampled_from(_TRICKY), max_size=12).map(b"".join)).map(
    os.fsdecode
)
OBEYED = {*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)), *"\u061c\u200e\u200f\u2028\u202e\u2066\u2069"}


@given(name)
@example("\\\udce9")
@example("\\x41")
def test_a_name_is_found_again_from_its_text(held: str) -> None:
    assert unescaped(escaped(held)) == held


@given(name, name)
def test_two_names_never_have_one_text(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) == (one == other)


@given(name)
def test_a_text_is_utf8_harmless_and_not_much_longer(held: str) -> None:
    text = escaped(held)
    assert len(text.encode()) <= 4 * len(os.fsencode(held))
    assert not OBEYED & {*text}
    assert json.loads(json.dumps(text)) == text


@given(name)
def test_messages_keep_escapes_that_they_have_already(held: str) -> None:
    for make in (encodable, for_terminal):
        assert make(make(held)) == make(held)
        assert make(escaped(held)) == escaped(held)
        make(held).encode()
    assert not OBEYED & {*for_terminal(held)}


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ("FoilHole_1.tiff", "FoilHole_1.tiff"),
        ("Größe µm.tiff", "Größe µm.tiff"),
        ("a\\b.tiff", "a\\b.tiff"),
        ("a\\x41.tiff", r"a\x5Cx41.tiff"),
        ("caf\udce9", r"caf\xE9"),
        ("a\n\u202eb", r"a\x0A\xE2\x80\xAEb"),
    ],
)
def test_examples(held: str, text: str) -> None:
    assert escaped(held) == text
