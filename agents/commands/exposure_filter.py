"""Which exposures `cryoferry status` lists: what its options mean."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import translate
from typing import TypeVar
from uuid import UUID

from configuration import ConfigError

MOST_LINES = 100
"""A list has at most this many lines, unless the user wants more."""

_UNIT_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(" + "|".join(sorted(_UNIT_SECONDS, key=len, reverse=True)) + r")\s*")
_Name = TypeVar("_Name", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureFilter:
    """What the user wants to see of the exposures.

    Attributes
    ----------
    failed
        Those that are failed or held; on the receiver, those that a registrar has failed to register.
    states
        Those in one of these states, beside the failed ones; none: in any.
    since
        Those that changed at this time or later, in seconds since 1970; None: at any time.
    pattern
        Those whose movie fits (`fits`); empty: all.
    everything
        All that fit are listed, however many they are.
    most
        The newest so many are listed; None: as many as is usual.
    """

    failed: bool = False
    states: tuple[str, ...] = ()
    since: float | None = None
    pattern: str = ""
    everything: bool = False
    most: int | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether the user wants a list, not only the totals."""
        return bool(
            self.failed
            or self.states
            or self.since is not None
            or self.pattern
            or self.everything
            or self.most is not None
        )

    def most_lines(self, *, as_json: bool) -> int | None:
        """Return how many exposures are listed at most; None: all."""
        if self.most is not None or self.everything or as_json:
            return self.most
        return MOST_LINES

    def exposure_id(self) -> str:
        """Return the exposure id that the pattern is; empty if it is none."""
        try:
            return str(UUID(self.pattern))
        except ValueError:
            return ""

    def fits(self) -> Callable[[str], bool] | None:
        """Return what says whether a movie's path fits the pattern; None if each does.

        A glob fits the whole path or, without `/` in it, the file's name. Another text fits a part of the path.
        """
        pattern = self.pattern
        if not pattern:
            return None
        if not any(mark in pattern for mark in "*?["):
            return lambda movie: pattern in movie
        matches, is_name = re.compile(translate(pattern)).match, "/" not in pattern
        return lambda movie: bool(matches(movie) or (is_name and matches(movie.rpartition("/")[2])))

    def in_words(self) -> str:
        """Return what an exposure must be to be listed, for a message."""
        words = [
            "failed or held" if self.failed else "",
            " or ".join(self.states),
            "" if self.since is None else f"changed since {datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M:%S}",
            f"named like {self.pattern!r}" if self.pattern else "",
        ]
        return ", ".join(filter(None, words))


def parsed_since(text: str | None, *, now_s: float | None = None) -> float | None:
    """Return a time in seconds since 1970: that long ago (`2h`, `1d12h`), or an ISO time, by this machine's clock.

    Raises
    ------
    ConfigError
    """
    if text is None:
        return None
    spans = _SPAN.findall(text.strip().lower())
    if spans and not _SPAN.sub("", text.strip().lower()):
        now_s = time.time() if now_s is None else now_s
        return max(0.0, now_s - sum(float(number) * _UNIT_SECONDS[unit] for number, unit in spans))
    try:
        return max(0.0, datetime.fromisoformat(text.strip()).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"--since: {text!r} is not a time",
            hint="Give how long ago, such as 30m, 2h or 1d, or a time, such as 2026-01-31T18:30.",
        ) from error


def checked_states(names: Iterable[str], known: type[_Name]) -> list[_Name]:
    """Return states by their names.

    Raises
    ------
    ConfigError
        A name is none of these states.
    """
    return [_state(name, [*known]) for name in names]


def _state(name: str, known: Sequence[_Name]) -> _Name:
    word = name.strip().lower()
    for state in known:
        if state.value == word:
            return state
    names = [state.value for state in known]
    near = difflib.get_close_matches(word, names, n=1)
    nearest = f"Did you mean {near[0]}? " if near else ""
    raise ConfigError(f"--state: there is no state {name!r}", hint=f"{nearest}The states are {', '.join(names)}.")
