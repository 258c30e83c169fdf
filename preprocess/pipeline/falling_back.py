"""When the CPU replaces a device that cannot align a movie, and how this is reported: once per process."""

from __future__ import annotations

import logging
import threading
import traceback

from preprocess.errors import DeviceError, DeviceLacksFeature, DeviceLost, DeviceOutOfMemory, PreprocessError
from preprocess.movie_warning import MovieWarning

CANNOT = (DeviceOutOfMemory, DeviceLacksFeature, DeviceLost)
"""Errors that are not the movie's fault: another device may be able to align it."""

_log = logging.getLogger(__name__)


class SaidOnce:
    """Remembers which kinds of reasons have been reported, for all threads of this process."""

    def __init__(self) -> None:
        self._kinds: set[type[DeviceError]] = set()
        self._lock = threading.Lock()

    def warnings(self, movie_name: str, reason: DeviceError) -> tuple[MovieWarning, ...]:
        """Log and return the warning that the CPU aligns a movie; nothing if this kind has been reported before."""
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
    """Release what an error's tracebacks keep alive, such as frames and images.

    Our own errors say by their text what happened, and lose their tracebacks. Other errors keep them for bug reports,
    without the local variables; only what closures hold stays.
    """
    ours = isinstance(error, PreprocessError)
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        if ours:
            error.__traceback__ = None
        error = error.__cause__ or error.__context__
