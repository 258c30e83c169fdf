"""`STEM_ctf.csv`: the radial profile of the spectrum and the CTF fit, a line for each frequency."""

from __future__ import annotations

import numpy as np

from preprocess.ctf.estimate import RadialProfile
from preprocess.outputs.report import DIGITS

COLUMNS = ("frequency_per_angstrom", "measured", "fitted", "ctf_squared", "agreement", "plain")
"""Attributes of `RadialProfile`, which defines them."""


def ctf_csv(profile: RadialProfile) -> str:
    """Return the content: a line of names, then numbers with a decimal point, separated by commas; no value: empty."""
    columns = [np.asarray(getattr(profile, name), np.float64) for name in COLUMNS]
    lines = (",".join(map(_text, values)) for values in zip(*columns, strict=True))
    return "\n".join([",".join(COLUMNS), *lines, ""])


def _text(value: float) -> str:
    return f"{value + 0.0:.{DIGITS}g}" if np.isfinite(value) else ""
