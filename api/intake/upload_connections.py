"""Which open connections of this process declared an upload or carried bytes of it: its promise ends after the last.

A client that goes on through a proxy, or on other connections, sends the next bytes soon: on a connection that is noted
here, or to another process, which notes the bytes in the database. So closing one connection ends no promise of it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from uuid import UUID

from api.http.connections import Place
from api.store.promises import LeftUpload

MOST_OF_CONNECTION = 1024
"""How many uploads are noted for one connection. The promises of those before them end without it, by their age."""


class UploadConnections:
    """Notes the connections of uploads. Used in the event loop and in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_place: dict[Place, dict[UUID, None]] = {}
        self._places: Counter[UUID] = Counter()
        self._left: dict[UUID, tuple[float, LeftUpload]] = {}  # with a monotonic time; oldest first

    def note(self, upload_id: UUID, place: Place | None) -> None:
        """Note that an upload was declared, or that bytes of it come or came, on a connection.

        Parameters
        ----------
        place
            The connection; it may be closed by now. None: it is not known, and closing it ends nothing.
        """
        if place is None:
            return
        with self._lock:
            noted = self._of_place.setdefault(place, {})
            if upload_id not in noted:
                self._places[upload_id] += 1
            noted.pop(upload_id, None)
            noted[upload_id] = None  # as the newest
            if len(noted) > MOST_OF_CONNECTION:
                oldest = next(iter(noted))
                del noted[oldest]
                self._forget(oldest)
            self._left.pop(upload_id, None)
        place.when_closed(self._closed)

    def _closed(self, place: Place) -> None:
        with self._lock:
            for upload_id in self._of_place.pop(place, ()):
                if self._forget(upload_id):
                    self._left[upload_id] = time.monotonic(), LeftUpload.by_now(upload_id)

    def _forget(self, upload_id: UUID) -> bool:
        """Take one connection off an upload; return whether it was the last."""
        self._places[upload_id] -= 1
        if self._places[upload_id]:
            return False
        del self._places[upload_id]
        return True

    def take_left(self, after_s: float) -> list[LeftUpload]:
        """Return the uploads whose last connection closed so long ago, each once."""
        before = time.monotonic() - after_s
        left: list[LeftUpload] = []
        with self._lock:
            for upload_id, (at_s, one) in list(self._left.items()):
                if at_s > before:
                    break
                left.append(one)
                del self._left[upload_id]
        return left
