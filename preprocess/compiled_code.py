"""The one module that imports numba: compiles kernels, and keeps compiled code for the next start.

A folder for compiled code that is damaged, full or missing costs time only: the code is compiled again then.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache

from preprocess.kept_code import WHAT_TO_DO, kept_code

log = logging.getLogger(__name__)

_KEPT = kept_code()
if _KEPT.folder is not None:
    numba.config.CACHE_DIR = str(_KEPT.folder)  # type: ignore[attr-defined]  # made at its import
if _KEPT.trouble:
    log.warning(
        "compiled code cannot be kept, so the first movie after each start takes about half a minute longer: %s. %s",
        _KEPT.trouble, WHAT_TO_DO,
    )  # fmt: skip

_NOT_KEPT = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    ImportError,
)
"""What a damaged file of compiled code raises, as far as pickle's documentation tells, and an unreadable one."""


class _LenientCache(FunctionCache):
    """numba's cache, whose folder may be damaged, full or gone: the code is compiled again then."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature; None if it is not there or cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except _NOT_KEPT as error:
            log.warning("%s: compiled code cannot be read, it is compiled again (%s)", self.cache_path, error)
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code for a signature, if the folder can take it."""
        try:
            super().save_overload(sig, data)
        except _NOT_KEPT as error:
            log.warning("%s: compiled code cannot be kept, each start compiles it again (%s)", self.cache_path, error)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return numba's decorator `njit` with these options, without Python's lock, and with the code kept if possible."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        if not _KEPT.trouble:
            dispatcher._cache = _LenientCache(function)  # noqa: SLF001  # what cache=True does, with numba's own class
        return dispatcher

    return decorate
