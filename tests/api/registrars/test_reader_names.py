from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.registrars.reader_names import reader_name


@pytest.mark.parametrize("name", ["FoilHole_1_Data_2.mrc", "a-b+c.1.mrc", "1.mrc"])
def test_safe_names_stay(name: str) -> None:
    assert reader_name(name) == name


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60))
def test_every_name_becomes_readable(stem: str) -> None:
    name = reader_name(f"{stem}.mrc")
    assert name.isascii()
    assert name.endswith(".mrc")
    assert not set(name) & set(" '\"()@#%&;$*?/\\")
    assert name[0] not in ".-+"
    assert reader_name(name) == name


def test_names_stay_different() -> None:
    names = ["a b.mrc", "a_b.mrc", "a(b.mrc", "a)b.mrc", "ä.mrc", "ö.mrc"]
    assert len({reader_name(name) for name in names}) == len(names)
