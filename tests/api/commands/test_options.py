"""Times and thresholds on the command line."""

from __future__ import annotations

from datetime import timedelta

import pytest
import typer

from api.commands.options import duration, thresholds
from transfer.wire.errors import UnknownFigure


def test_a_time_is_a_number_and_a_unit() -> None:
    assert duration("30d") == timedelta(days=30)
    assert duration("90m") == timedelta(minutes=90)


@pytest.mark.parametrize("wrong", ["", "d", "30", "-1d", "1y", "1234567d"])
def test_anything_else_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match="12h"):
        duration(wrong)


def test_thresholds_are_read() -> None:
    read = thresholds(["ctf_resolution_angstrom > 8", "ctf_fit_quality<0.1", "ctf_resolution_angstrom>9"])
    assert read == (("ctf_resolution_angstrom", "above", 9.0), ("ctf_fit_quality", "below", 0.1))
    for wrong in ("ctf_resolution_angstrom", "ctf_resolution_angstrom > x", "ctf_resolution_angstrom > nan", "> 8"):
        with pytest.raises(typer.BadParameter, match="is not a threshold"):
            thresholds([wrong])
    with pytest.raises(UnknownFigure) as refused:
        thresholds(["ctf_resolution > 8"])
    assert "ctf_resolution_angstrom" in refused.value.hint
