"""Which devices failed while this process used them.

A CUDA context in which one call has failed fails in every later call, whichever movie it is for, until its process
ends. So nothing asks such a device again, and a process that others can start anew ends after the movie.
"""

from __future__ import annotations

import threading

from preprocess.errors import DeviceLost


class LostDevices:
    """The devices that a process has lost, and why; for all its threads."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def note(self, device: str, reason: str) -> None:
        """Note that a device failed; the first reason is kept, since later failures follow from it."""
        with self._lock:
            self._reasons.setdefault(device, reason)

    def any(self) -> bool:
        """Return whether a device was lost, so that a new process should do the next movie."""
        with self._lock:
            return bool(self._reasons)

    def refuse(self, device: str) -> None:
        """Raise DeviceLost for a device that has failed before, in the words of that time."""
        with self._lock:
            reason = self._reasons.get(device)
        if reason is not None:
            raise DeviceLost(f"{device} failed: {reason}")

    def forget(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._reasons.clear()


LOST = LostDevices()
"""Those of this process."""
