"""Names on the receiver: permitted, deterministic, and never two from different ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.wire.errors import BadName
from transfer.wire.names import check_path
from transfer.wire.remote_names import remote_path, sent_path

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


@given(path)
def test_what_is_sent_is_permitted_and_stays_as_it_is_if_it_was(name: str) -> None:
    sent = sent_path(name)
    assert check_path(sent)
    for before, after in zip(name.split("/"), sent.split("/"), strict=True):
        try:
            assert after == check_path(before)
        except BadName:
            assert after == remote_path(before)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a=b/c.mrc", "a=b/c.mrc"),
        ("-rf/.x/ends.", "=2Drf/=2Ex/ends=2E"),
        ("a=b/-x=y", "a=b/=2Dx=3Dy"),
        ("Zu\u0308rich=1", "Zu=CC=88rich=3D1"),
        ("caf\udce9:1", "caf=E9=3A1"),
    ],
)
def test_examples_of_what_is_sent(name: str, expected: str) -> None:
    assert sent_path(name) == expected
