"""Lists folders for the references in them, each only as often as it takes little time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preprocess.gains.reference_names import References, references_among

LONGEST_S = 60.0
"""A listing is not used for longer, whatever the folder's time stamp says."""
TIMES_AS_LONG = 30
"""A listing of a folder in which something came is used so many times as long as it took."""
_TICK_NS = 2_000_000_000
"""The coarsest time stamps, FAT's."""


@dataclass(frozen=True, slots=True)
class _ListedFolder:
    mtime_ns: int | None
    listed_s: float
    took_s: float
    references: References


class ReferenceFolders:
    """What references are in folders.

    A folder may have 50 000 files, and get another one every second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._listings: dict[Path, _ListedFolder] = {}

    def references(self, folder: Path) -> References:
        """Return the references in a folder; none if it is not there, or this user may not list it.

        Raises
        ------
        OSError
            It cannot be listed now.
        """
        try:
            return self._references(folder)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return References()

    def _references(self, folder: Path) -> References:
        mtime_ns, now_s = folder.stat().st_mtime_ns, self._clock()
        known = self._listings.get(folder)
        if known is not None:
            age_s = now_s - known.listed_s
            if age_s <= (LONGEST_S if known.mtime_ns == mtime_ns else TIMES_AS_LONG * known.took_s):
                return known.references
        with os.scandir(folder) as entries:
            found = references_among([entry.name for entry in entries], folder.name)
        is_at_rest = abs(time.time_ns() - mtime_ns) > _TICK_NS  # else the next file may leave it the same time stamp
        self._listings[folder] = _ListedFolder(mtime_ns if is_at_rest else None, now_s, self._clock() - now_s, found)
        return found
