"""Times on the command line."""

from __future__ import annotations

from datetime import timedelta

import pytest
import typer

from api.commands.options import duration


def test_a_time_is_a_number_and_a_unit() -> None:
    assert duration("30d") == timedelta(days=30)
    assert duration("90m") == timedelta(minutes=90)


@pytest.mark.parametrize("wrong", ["", "d", "30", "-1d", "1y", "1234567d"])
def test_anything_else_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match="12h"):
        duration(wrong)
