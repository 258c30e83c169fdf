"""The exit code of a command that works on several files, of which some may fail."""

from __future__ import annotations

from collections.abc import Sequence

SOME_FAILED = 3


def exit_code(failures: Sequence[int], count: int) -> int:
    """Return 3 if some of `count` files failed and others did not; if all did, what their failures have in common."""
    if not failures:
        return 0
    if len(failures) < count:
        return SOME_FAILED
    return failures[0] if len(set(failures)) == 1 else 1
