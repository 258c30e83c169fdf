"""The environment of a process that aligns movies: it keeps its memory between them, and BLAS starts no threads."""

from __future__ import annotations

from collections.abc import Mapping

_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb"
_HUGE_PAGES_SINCE = (2, 35)
_KEEPING = {
    "MALLOC_MMAP_MAX_": ("glibc.malloc.mmap_max", "0"),
    "MALLOC_TRIM_THRESHOLD_": ("glibc.malloc.trim_threshold", str(1 << 46)),
    "MALLOC_ARENA_MAX": ("glibc.malloc.arena_max", "1"),
}
"""Large arrays come from the heap, the heap never shrinks, and all threads share it: variable, tunable and value."""


def environment_of_worker(given: Mapping[str, str], glibc: tuple[int, ...] | None) -> dict[str, str]:
    """Return the variables of a process that aligns, from those that the agent has.

    A system takes as long to hand out a movie's memory as the alignment computes in a fifth of its time or more, so the
    C library is told to keep it. What the user set stays.

    Parameters
    ----------
    glibc
        The version of the GNU C library; None where there is another one, which is left as it is.
    """
    environment = {"OPENBLAS_NUM_THREADS": "1", **given}  # our own threads call BLAS
    if glibc is None:
        return environment
    tunables = given.get(_TUNABLES, "")
    chosen = {setting.partition("=")[0] for setting in tunables.split(":")}
    for variable, (tunable, value) in _KEEPING.items():
        if tunable not in chosen:
            environment.setdefault(variable, value)
    if glibc >= _HUGE_PAGES_SINCE and _HUGE_PAGES not in chosen:
        environment[_TUNABLES] = ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))
    return environment
