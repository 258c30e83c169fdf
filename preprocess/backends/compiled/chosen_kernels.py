"""Reads from the environment which code the user wants: kernels in C or numba's, nvCOMP or our own decoder."""

from __future__ import annotations

import os
from collections.abc import Mapping

from preprocess.errors import KernelsUnknown

KERNELS_VARIABLE = "CRYOFERRY_KERNELS"
"""Environment variable: `numba`, or `auto` (as if it were not set): those in C where they were compiled."""
NVCOMP_VARIABLE = "CRYOFERRY_NVCOMP"
"""Environment variable: `on` decompresses deflate on a GPU by nvCOMP; `off`, as if it were not set, never."""


def refuse_unknown_choices(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse values of these variables that are not understood.

    Raises
    ------
    KernelsUnknown
    """
    kernels_are_off(environment)
    nvcomp_is_wanted(environment)


def nvcomp_is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether deflate is to be decompressed by nvCOMP, on a GPU.

    It is off by default: it was never run on a device, and what it does with a damaged strip is undefined.

    Raises
    ------
    KernelsUnknown
    """
    return _chosen(environment, NVCOMP_VARIABLE, "off", "on") == "on"


def kernels_are_off(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the kernels in C are switched off, wherever they are.

    Raises
    ------
    KernelsUnknown
        The variable has another value; upper and lower case, and spaces around it, do not matter.
    """
    return _chosen(environment, KERNELS_VARIABLE, "auto", "numba") == "numba"


def _chosen(environment: Mapping[str, str], variable: str, usual: str, other: str) -> str:
    value = environment.get(variable, "")
    chosen = value.strip().lower() or usual
    if chosen not in (usual, other):
        raise KernelsUnknown(f"the environment variable {variable} is {value!r}, which is none of {usual}, {other}")
    return chosen
