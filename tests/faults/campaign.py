"""The two lengths of the campaigns of faults, and the figures that they print at their end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

IS_LONG = os.environ.get("CRYOFERRY_CAMPAIGN") == "1"
LONG_TIMEOUT_S = 3600
LONG_S = float(os.environ.get("CRYOFERRY_CAMPAIGN_SECONDS", "3600"))
"""How long campaigns last that go on for a time, not for a count."""
SEED = int(os.environ.get("CRYOFERRY_CAMPAIGN_SEED", "20261128"))
"""Of what the campaigns draw at random. The moments of faults still depend on the machine."""

FIGURES = "campaign-figures"
"""Name of the property of a test's report that holds its figures."""

NoteFigures = Callable[..., None]


def in_length(short: int, long: int) -> int:
    """Return the number for the present length."""
    return long if IS_LONG else short


@pytest.fixture
def note_figures(record_property: Callable[[str, object], None]) -> NoteFigures:
    """Return a function that notes what a test has counted; `make campaign` prints it at its end."""

    def note(**figures: object) -> None:
        record_property(FIGURES, ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in figures.items()))

    return note
