"""The one place in the agent where an unexpected error stops: it concerns one action and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def contained(action: Callable[[], T], on_error: Callable[[Exception], T]) -> T:
    """Return what `action` returns; if it raises an `Exception`, return what `on_error` makes of that.

    The agent runs unattended for weeks. A defect that shows with one exposure, one file or one listener must not stop
    the work on all the others. Use it around such a unit alone, after every expected error was handled.

    Parameters
    ----------
    on_error
        Called inside the `except` clause, so that it may log the traceback.
    """
    try:
        return action()
    except Exception as error:  # noqa: BLE001  # see above
        return on_error(error)
