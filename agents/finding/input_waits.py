"""Decides whether a movie that is finished waits for an input that comes after it, and for which one.

It waits only if something says that the input comes: a name (the user's, or the sidecar's), an input that is still
being written, one of the newest movies of its folder that had it, or, for the first movies, the habit of the program.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from agents.finding.movie_inputs import FoundInput, NamedInputs, input_name
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import InputKind
from agents.journal.movie_names import movie_path, relative_path
from preprocess.layouts import Layout

log = logging.getLogger(__name__)

NEWEST = 5
"""So many movies that went on last decide what the next one can expect."""


class _Wait(NamedTuple):
    """Why a movie waits; `until_news` is how many inputs had come then, None if it is to be looked at again anyway."""

    since_s: float
    reason: str
    until_news: int | None


class InputWaits:
    """Which movies wait, since when, and for what.

    Parameters
    ----------
    wait_s
        How long a movie waits at most, in seconds.
    look
        Returns the inputs of a movie; may raise OSError.
    is_settled
        Whether an input, by its name and identity, is not written to any more.
    news
        How many inputs came or changed so far.
    earlier
        Movies that were aligned before this start of the agent, and which kinds of inputs each had, the newest last.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        source: Path,
        layout: Layout,
        *,
        wait_s: float,
        look: Callable[[Path, NamedInputs], list[FoundInput]],
        is_settled: Callable[[str, FileIdentity], bool],
        news: Callable[[], int],
        earlier: Iterable[tuple[str, set[InputKind]]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._layout, self._wait_s, self._look = source, layout, wait_s, look
        self._is_settled, self._news, self._clock = is_settled, news, clock
        self._waits: dict[str, _Wait] = {}
        self._newest: deque[set[InputKind]] = deque(maxlen=NEWEST)
        self._by_folder: dict[str, deque[set[InputKind]]] = {}
        for movie, kinds in earlier:
            self._remember(movie, kinds)

    def reason(self, movie: str, named: NamedInputs) -> str:
        """Return what a finished movie waits for, as a sentence without its subject; empty: it does not wait."""
        if self._wait_s <= 0:
            return ""
        now_s, news = self._clock(), self._news()
        waits = self._waits.get(movie)
        if waits is not None and waits.until_news == news and now_s - waits.since_s < self._wait_s:
            return waits.reason  # a look may list a large folder
        try:
            inputs = self._look(movie_path(self._source, movie), named)
        except OSError:
            return ""  # the step that aligns it looks again, and waits for the share
        not_ready = [each for found in inputs if (each := self._not_ready(found))]
        missing = not_ready + self._expected(movie, {each.kind for each in inputs})
        since_s = now_s if waits is None else waits.since_s
        if missing and now_s - since_s < self._wait_s:
            reason = f"waits for its {' and its '.join(missing)}"
            self._waits[movie] = _Wait(since_s, reason, None if not_ready else news)
            return reason
        if missing:
            log.warning(
                "%s: its %s did not come within %g s; it waits no longer",
                movie, " and its ".join(missing), self._wait_s,
            )  # fmt: skip
        self._waits.pop(movie, None)
        self._remember(movie, {each.kind for each in inputs if each.identity is not None})
        return ""

    def forget(self, movie: str) -> None:
        """Forget that a movie waits."""
        self._waits.pop(movie, None)

    def next_look_s(self) -> float | None:
        """Return in how many seconds the next movie has waited long enough; None if none waits."""
        if not self._waits:
            return None
        return max(0.0, min(waits.since_s for waits in self._waits.values()) + self._wait_s - self._clock())

    def _remember(self, movie: str, kinds: set[InputKind]) -> None:
        self._newest.append(kinds)
        self._by_folder.setdefault(_folder_of(movie), deque(maxlen=NEWEST)).append(kinds)

    def _expected(self, movie: str, there: set[InputKind]) -> list[str]:
        """Return which inputs are not there, and can be expected, in words."""
        return [
            f"{kind.in_words} {self._usual_name(movie, kind)}".strip()
            for kind in (InputKind.GAIN, InputKind.SIDECAR)
            if kind not in there and self._is_expected(movie, kind)
        ]

    def _not_ready(self, found: FoundInput) -> str:
        name = input_name(self._source, found.path).rpartition("/")[2]
        if found.identity is None:
            return f"{found.kind.in_words} {name}"
        if found.is_shared:
            return ""  # it is written to for other movies
        is_settled = self._is_settled(input_name(self._source, found.path), found.identity)
        return "" if is_settled else f"{found.kind.in_words} {name}, which is still being written"

    def _is_expected(self, movie: str, kind: InputKind) -> bool:
        newest = self._by_folder.get(_folder_of(movie)) or self._newest
        return any(kind in kinds for kinds in newest) if newest else bool(self._usual_name(movie, kind))

    def _usual_name(self, movie: str, kind: InputKind) -> str:
        if kind is not InputKind.GAIN:
            return ""
        return self._layout.usual_gain(relative_path(movie).rpartition("/")[2])


def _folder_of(movie: str) -> str:
    return str(PurePosixPath(movie).parent)
