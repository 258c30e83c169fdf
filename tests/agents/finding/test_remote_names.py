"""Names on the receiver: permitted, deterministic, and never two from different ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.finding.remote_names import remote_path
from transfer.wire.names import check_path

part = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: text not in (".", "..")
)
path = st.lists(part, min_size=1, max_size=3).map("/".join)


@given(path)
def test_every_name_becomes_a_permitted_one(name: str) -> None:
    assert check_path(remote_path(name) + "_noDW.mrc")


@given(path, path)
def test_two_names_never_become_one(one: str, other: str) -> None:
    assert (remote_path(one) == remote_path(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Images-Disc1/GridSquare_1/Data/FoilHole_2_Data_3_fractions", None),
        ("Datei_Größe/µm", None),
        ("a:b*c", "a=3Ab=2Ac"),
        ("a=3Ab=2Ac", "a=3D3Ab=3D2Ac"),
        ("new\nline", "new=0Aline"),
        ("con", "=63on"),
        (" a.", "=20a=2E"),
        ("-rf/--x", "=2Drf/=2D-x"),
        ("e\u0301", "e=CC=81"),
        ("\u00e9", None),  # the composed twin
        ("caf\udce9", "caf=E9"),  # a byte that is not UTF-8
    ],
)
def test_examples(name: str, expected: str | None) -> None:
    assert remote_path(name) == (expected or name)


def test_long_names_stay_different() -> None:
    one, other = remote_path("x" * 250 + "1"), remote_path("x" * 250 + "2")
    assert one != other
    assert check_path(one + "_spectrum.png")
