"""Reads which kernels the user wants, in C or numba's, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from preprocess.errors import KernelsUnknown

KERNELS_VARIABLE = "CRYOFERRY_KERNELS"
"""Environment variable: `numba`, or `auto` (as if it were not set): those in C where they were compiled."""


def kernels_are_off(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the kernels in C are switched off, wherever they are.

    Raises
    ------
    KernelsUnknown
        The variable has another value; upper and lower case, and spaces around it, do not matter.
    """
    value = environment.get(KERNELS_VARIABLE, "")
    chosen = value.strip().lower()
    if chosen not in ("", "auto", "numba"):
        raise KernelsUnknown(f"the environment variable {KERNELS_VARIABLE} is {value!r}, which is none of auto, numba")
    return chosen == "numba"
