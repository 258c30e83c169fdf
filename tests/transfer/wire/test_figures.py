from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from transfer.wire.exposure_record import ExposureRecord, FigureName
from transfer.wire.figures import FIGURES, MOTION_TOTAL, fit_to_send

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"
UNITS = {"Å": "angstrom", "px": "px", "°": "degrees"}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_each_figure_is_described(figure):
    (constraint,) = FigureName.__metadata__
    assert re.fullmatch(constraint.pattern, figure.name)
    assert figure.label
    assert 0 <= figure.decimals <= 6
    assert figure.definition.endswith(".")
    for unit, word in UNITS.items():
        assert (figure.unit == unit) == figure.name.endswith(f"_{word}"), figure


def test_labels_are_unique():
    assert len({figure.label for figure in FIGURES.values()}) == len(FIGURES)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_is_left_out_and_named(value):
    good, left_out = fit_to_send({MOTION_TOTAL: 1.5, "hot_pixel_count": value})
    assert good == {MOTION_TOTAL: 1.5}
    (text,) = left_out
    assert "hot_pixel_count" in text
    assert str(value) in text


def test_a_figure_that_is_not_registered_is_left_out_and_named():
    good, left_out = fit_to_send({"invented_px": 1.0, MOTION_TOTAL: 0.0})
    assert good == {MOTION_TOTAL: 0.0}
    assert "invented_px" in left_out[0]


def test_the_page_lists_the_registered_figures():
    lines = PAGE.read_text("utf-8").splitlines()
    begin = lines.index("| figure | unit | worse | what it is |") + 2
    assert lines[begin : lines.index("", begin)] == [
        f"| `{figure.name}` | {figure.unit} | {figure.worse} | {figure.definition} |" for figure in FIGURES.values()
    ]


def test_the_page_names_every_section_of_the_record():
    text = PAGE.read_text("utf-8")
    sections = {"acquisition", "shifts", "times", "figures", "warnings", "provenance", "files"}
    assert sections <= set(ExposureRecord.model_fields)
    for section in sections:
        assert f"| `{section}` |" in text
