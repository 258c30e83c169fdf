"""When the CPU stands in for a device that cannot align a movie, and how that is said: once per process."""

from __future__ import annotations

import logging
import threading
import traceback

from preprocess.errors import DeviceError, DeviceLacksFeature, DeviceOutOfMemory, PreprocessError
from preprocess.movie_warning import MovieWarning

CANNOT = (DeviceOutOfMemory, DeviceLacksFeature)
"""Errors that say nothing against the movie: another device may well align it."""

_log = logging.getLogger(__name__)


class SaidOnce:
    """Remembers which kinds of reasons have been said, for all threads of this process."""

    def __init__(self) -> None:
        self._kinds: set[type[DeviceError]] = set()
        self._lock = threading.Lock()

    def warnings(self, movie_name: str, reason: DeviceError) -> tuple[MovieWarning, ...]:
        """Return the warning that the CPU aligns a movie, and log it; nothing if that kind has been said."""
        with self._lock:
            if type(reason) in self._kinds:
                return ()
            self._kinds.add(type(reason))
        detail = str(reason).removeprefix(f"{movie_name}: ")
        text = f"aligned by the CPU, because the device cannot (reported once, true of later movies too): {detail}"
        _log.warning("%s: %s", movie_name, text)
        return (MovieWarning("aligned-on-cpu", text),)


SAID = SaidOnce()


def let_go_of_memory(error: BaseException | None) -> None:
    """Take from an error what its tracebacks keep alive: frames and images among it.

    Errors of ours tell by their text what happened, and lose their tracebacks. Others, which a report of a defect
    needs, keep them; the local variables go, and only what closures hold stays.
    """
    ours = isinstance(error, PreprocessError)
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        if ours:
            error.__traceback__ = None
        error = error.__cause__ or error.__context__
