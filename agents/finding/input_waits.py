"""Decides whether a movie that is finished waits for an input that comes after it, and for which one.

It waits only if something says that the input comes: a name (the user's, or the sidecar's), an input that is still
being written, one of the newest movies of its folder that had it, or, for the first movies, the habit of the program.

A gain reference it awaits longer, if it needs one: without it the micrograph would hold the camera's fixed pattern.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from agents.finding.movie_inputs import FoundInput, MovieInputs, NamedInputs, input_name
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import WAITS, InputKind
from agents.journal.movie_names import movie_path, relative_path
from preprocess.gains.need import GainNeed, JudgedCounts
from preprocess.layouts import Layout

log = logging.getLogger(__name__)

NEWEST = 5
"""So many movies that went on last decide what the next one can expect."""


_LOOK_S = 0.05
"""So long after a look at one movie comes that at another one: a look may list a large folder."""


class _AwaitedInput(NamedTuple):
    """An input that is awaited, in words.

    Attributes
    ----------
    limit_s, left_s
        For how long in all, and how much of that is left, in seconds.
    is_named
        It is there and not finished, or has a name that no scan may take for an input's: it is looked for.
    note
        What a person should know about it, as a sentence of its own.
    """

    text: str
    limit_s: float
    left_s: float
    is_named: bool = False
    note: str = ""


class _Wait(NamedTuple):
    """Why a movie waits, and until when.

    Attributes
    ----------
    look_s
        It is not looked at again before.
    until_news
        How many inputs had come when it was looked at; None if it is to be looked at again anyway.
    until_text
        Until when it waits for its gain reference, for people.
    """

    since_s: float
    until_s: float
    look_s: float
    reason: str
    named: NamedInputs
    until_news: int | None
    until_text: str

    def still_holds(self, now_s: float, news: int, named: NamedInputs) -> bool:
        """Return whether the movie waits without another look."""
        is_new = self.until_news != news and now_s >= self.look_s
        return self.named == named and now_s < self.until_s and not is_new


class InputWaits:
    """Which movies wait, since when, and for what.

    Parameters
    ----------
    wait_s
        How long a movie waits at most, in seconds.
    gain_wait_s
        How long it waits at most for a gain reference that it needs.
    look
        Returns the inputs of a movie; may raise OSError.
    judge
        Returns whether a movie needs a gain reference; may raise OSError.
    is_settled
        Whether an input, by its name and identity, is not written to any more.
    news
        How many inputs came or changed so far.
    earlier
        Movies that were aligned before this start of the agent, and which kinds of inputs each had, the newest last.
    clock
        Monotonic seconds.
    wall_clock
        Seconds since 1970.
    """

    def __init__(
        self,
        source: Path,
        layout: Layout,
        *,
        wait_s: float,
        gain_wait_s: float,
        look: Callable[[Path, NamedInputs], MovieInputs],
        judge: Callable[[Path], JudgedCounts],
        is_settled: Callable[[str, FileIdentity], bool],
        news: Callable[[], int],
        earlier: Iterable[tuple[str, set[InputKind]]] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._layout, self._wait_s, self._look = source, layout, wait_s, look
        self._gain_wait_s, self._judge, self._wall_clock = gain_wait_s, judge, wall_clock
        self._is_settled, self._news, self._clock = is_settled, news, clock
        self._waits: dict[str, _Wait] = {}
        self._is_said = False
        self._newest: deque[set[InputKind]] = deque(maxlen=NEWEST)
        self._by_folder: dict[str, deque[set[InputKind]]] = {}
        for movie, kinds in earlier:
            self._remember(movie, kinds)

    def reason(self, movie: str, named: NamedInputs, waited_s: float = 0.0) -> str:
        """Return what a finished movie waits for, as a sentence without its subject; empty: it does not wait.

        Parameters
        ----------
        waited_s
            For how long it waited at most before this start of the agent.
        """
        now_s, news = self._clock(), self._news()
        waits = self._waits.get(movie)
        if waits is not None and waits.still_holds(now_s, news, named):
            return waits.reason
        since_s = now_s if waits is None else waits.since_s
        try:
            inputs = self._look(movie_path(self._source, movie), named)
            gain = self._needed_gain(movie, named, inputs, now_s - since_s, waited_s)
        except OSError:
            return ""  # the step that aligns it looks again, and waits for the share
        missing = ([] if gain is None else [gain]) + self._others(movie, named, inputs, gain, now_s - since_s)
        awaited = [each for each in missing if each.left_s > 0]
        if awaited:
            self._waits[movie] = self._wait(movie, awaited, since_s, named)
            return self._waits[movie].reason
        for each in missing:
            if each.limit_s > 0:
                log.warning("%s: its %s did not come within %g s; it waits no longer", movie, each.text, each.limit_s)
        self._waits.pop(movie, None)
        self._remember(movie, {each.kind for each in inputs if each.identity is not None})
        return ""

    def _wait(self, movie: str, awaited: list[_AwaitedInput], since_s: float, named: NamedInputs) -> _Wait:
        now_s, before = self._clock(), self._waits.get(movie)
        until_text = self._until_text(awaited[0].left_s) if before is None else before.until_text
        notes = [each.note.format(until=until_text) for each in awaited if each.note]
        if notes and not self._is_said:
            log.warning("movies wait for a gain reference, which their counts need: see `cryoferry status`")
        self._is_said = self._is_said or bool(notes)
        return _Wait(
            since_s=since_s,
            until_s=now_s + min(each.left_s for each in awaited),
            look_s=now_s + _LOOK_S * len(self._waits),
            reason="; ".join([f"{WAITS}{' and its '.join(each.text for each in awaited)}", *notes]),
            named=named,
            until_news=None if any(each.is_named for each in awaited) else self._news(),
            until_text=until_text,
        )

    def _until_text(self, left_s: float) -> str:
        return datetime.fromtimestamp(self._wall_clock() + left_s).strftime("%H:%M")

    def forget(self, movie: str) -> None:
        """Forget that a movie waits."""
        self._waits.pop(movie, None)

    def next_look_s(self) -> float | None:
        """Return in how many seconds the next movie has waited long enough; None if none waits."""
        if not self._waits:
            return None
        return max(0.0, min(waits.until_s for waits in self._waits.values()) - self._clock())

    def _remember(self, movie: str, kinds: set[InputKind]) -> None:
        self._newest.append(kinds)
        self._by_folder.setdefault(_folder_of(movie), deque(maxlen=NEWEST)).append(kinds)

    # ---- the gain reference of a movie that needs one

    def _needed_gain(
        self, movie: str, named: NamedInputs, inputs: MovieInputs, here_s: float, waited_s: float
    ) -> _AwaitedInput | None:
        """Return what is missing of a gain reference that the movie needs; None: nothing, or it needs none.

        Parameters
        ----------
        here_s, waited_s
            How long it has waited since this start of the agent, and before.
        """
        found = next((each for each in inputs if each.kind is InputKind.GAIN), None)
        missing = "" if found is None else self._not_ready(found)
        if named.no_gain or (found is not None and not missing):
            return None
        judged = self._judge(movie_path(self._source, movie))
        if not judged.are_raw and not (named.requires_gain and judged.need is GainNeed.UNKNOWN):
            return None
        if found is not None and found.identity is not None:
            return _AwaitedInput(missing, self._gain_wait_s, self._gain_wait_s - here_s, is_named=True)
        return _AwaitedInput(
            missing or f"{InputKind.GAIN.in_words} {self._usual_name(movie, InputKind.GAIN)}".strip(),
            self._gain_wait_s,
            self._gain_wait_s - max(here_s, waited_s),
            is_named=bool(missing),
            note=_what_follows(judged, inputs.doubt, named),
        )

    # ---- other inputs

    def _others(
        self, movie: str, named: NamedInputs, inputs: MovieInputs, gain: _AwaitedInput | None, here_s: float
    ) -> list[_AwaitedInput]:
        """Return which inputs are not ready, or not there and expected, apart from a gain reference that is needed."""
        if self._wait_s <= 0:
            return []
        left_s, there = self._wait_s - here_s, {each.kind for each in inputs}
        if gain is not None or named.no_gain:
            there.add(InputKind.GAIN)
        not_ready = [
            _AwaitedInput(text, self._wait_s, left_s, is_named=True)
            for each in inputs
            if (gain is None or each.kind is not InputKind.GAIN) and (text := self._not_ready(each))
        ]
        return not_ready + [_AwaitedInput(text, self._wait_s, left_s) for text in self._expected(movie, there)]

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


def _what_follows(judged: JudgedCounts, doubt: str, named: NamedInputs) -> str:
    """Return why a movie needs a gain reference, and what happens without one; `{until}` is to be filled in."""
    why = "; ".join(filter(None, (judged.why, doubt))).replace("{", "{{").replace("}", "}}")
    then = "is held" if named.requires_gain else "is aligned without one then, with a warning"
    return (
        f"{why}. If no gain reference has come by {{until}}, the movie {then}. Put it beside the movie, or use"
        " `cryoferry retry` with --gain FILE, or with --gain none if there is none"
    )


def _folder_of(movie: str) -> str:
    return str(PurePosixPath(movie).parent)
