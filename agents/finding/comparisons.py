"""Which released exposures have a movie whose content must be compared with what was aligned, because it looks touched.

Another time stamp or inode alone means nothing: a share that is mounted again, `touch`, and daylight saving time on SMB
change them for all movies at once. Only another content makes a revision. The content is compared by a sampled digest,
which a worker computes when no movie waits to be aligned.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from uuid import UUID

log = logging.getLogger(__name__)

AT_ONCE = 32
"""At most this many movies wait at a time; the next scan brings others."""
_FAILED_PAUSE_S = 60.0


class Comparisons:
    """The movies that wait for their comparison; safe to use from several threads.

    Parameters
    ----------
    clock
        Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[UUID] = []
        self._in_hand: set[UUID] = set()
        self._not_before_s: dict[UUID, float] = {}
        self._was_said = False

    @property
    def are_done(self) -> bool:
        """Whether none waits and none is in hand."""
        with self._lock:
            return not self._waiting and not self._in_hand

    def want(self, exposure_ids: Iterable[UUID]) -> None:
        """Say after each scan which exposures' movies look touched, the most urgent first."""
        with self._lock:
            now_s = self._clock()
            self._not_before_s = {key: until_s for key, until_s in self._not_before_s.items() if until_s > now_s}
            taken = self._in_hand | self._not_before_s.keys()
            found = [exposure_id for exposure_id in exposure_ids if exposure_id not in taken]
            self._waiting = found[:AT_ONCE]
            is_new, self._was_said = bool(found) and not self._was_said, bool(found) or bool(taken)
        if is_new:
            log.info(
                "%d released movies have another time stamp or inode than before; their content is compared in the"
                " background, and only another content is processed again", len(found),
            )  # fmt: skip

    def take(self) -> UUID | None:
        """Return the exposure whose movie is to be compared next; None if none waits."""
        with self._lock:
            if not self._waiting:
                return None
            exposure_id = self._waiting.pop(0)
            self._in_hand.add(exposure_id)
            return exposure_id

    def end(self, exposure_id: UUID, *, has_failed: bool) -> None:
        """Put an exposure back after its comparison; one that failed is left alone for a minute."""
        with self._lock:
            self._in_hand.discard(exposure_id)
            if has_failed:
                self._not_before_s[exposure_id] = self._clock() + _FAILED_PAUSE_S
