"""When bodies were last received, known to all processes that use a data folder: background work waits for a pause.

The time stands in a small file. It is of the system's monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from transfer.disk.files import open_to_write, read_at, write_at

log = logging.getLogger(__name__)

ACTIVITY_NAME = "intake.activity"
"""The file's name in the data folder."""
NOTE_EVERY_NS = 100_000_000
_BYTES = 8


class IntakeActivity:
    """When bodies were last received.

    Parameters
    ----------
    path
        The file that holds the time. Its folder must exist when `note` is called first.
    clock_ns
        Returns the monotonic time, in ns.
    """

    def __init__(self, path: Path, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._path = path
        self._clock_ns = clock_ns
        self._noted_ns: int | None = None

    def note(self) -> None:
        """Note that bytes of a body come now. It costs nothing when it was noted within `NOTE_EVERY_NS`."""
        moment = self._clock_ns()
        if self._noted_ns is not None and 0 <= moment - self._noted_ns < NOTE_EVERY_NS:
            return
        self._noted_ns = moment
        try:
            descriptor = open_to_write(self._path, create=True)
            try:
                write_at(descriptor, moment.to_bytes(_BYTES, "big"), 0)
            finally:
                os.close(descriptor)
        except OSError as error:  # a full disk must not refuse the body: background work only reads faster then
            log.debug("cannot note in %s that bodies are received: %s", self._path, error)

    def quiet_s(self) -> float:
        """Return for how long no process has received bodies, in s; infinity if that is not known."""
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                noted = read_at(descriptor, _BYTES, 0)
            finally:
                os.close(descriptor)
            passed_ns = self._clock_ns() - int.from_bytes(noted, "big")
            if len(noted) == _BYTES and passed_ns >= 0:  # otherwise the machine was started again since
                return passed_ns / 1e9
        return float("inf")
