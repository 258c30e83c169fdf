"""Compares the files in an agent's source with its journal, by the rules by which the agent finds movies.

Nothing is written, and a running agent is not disturbed. What looks wrong is looked at again, while an agent runs after
a few of its scans: a movie may have come since.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agents.commands.discrepancy import Discrepancy, discrepancies
from agents.finding.finding_rules import FindingRules
from agents.finding.scan import Scan
from agents.finding.skipped_note import SKIPPED, Skipped, from_note
from agents.finding.source_access import SourceAccess
from agents.journal.file_identity import FileIdentity
from agents.journal.reader import JournalReader
from agents.journal.states import State
from agents.share.reader import ShareReader
from agents.work_folder import is_in_use
from transfer.wire.errors import SourceUnreadable

_SCANS = 3
"""A movie that a running agent has not entered after so many scans is an alarm."""
_LONGEST_WAIT_S = 120.0
_SHORTEST_PAUSE_S = 0.2
_MOUNTS = "mounts"
_SENT = (State.COMMITTED, State.RELEASED)


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """The files of a source and the journal.

    Attributes
    ----------
    movies, entered
        How many lie in the source, and how many of them are in the journal.
    gone_after_release
        How many exposures' movies are not in the source any more, and need not be.
    skipped
        Files that are no movies, or are left out, with the reasons.
    """

    movies: int
    entered: int
    gone_after_release: int
    skipped: Skipped
    found: tuple[Discrepancy, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the source, and at the journal after it."""

    movies: int
    entered: int
    seconds: float
    skipped: Skipped
    not_entered: dict[str, FileIdentity]
    gone: set[str]
    gone_after_release: int


def check_source(
    folder: Path,
    source: Path,
    rules: FindingRules,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> SourceCheck:
    """Compare the source with the journal of a work folder.

    Raises
    ------
    SourceUnreadable
        The source cannot be read, or has not answered for too long.
    JournalError
    """
    with closing(
        ShareReader(source, rules.layout, follow_links=rules.follow_links, silence_s=rules.silence_s)
    ) as share:
        try:
            share.real_path()
        except OSError as error:
            raise _unreadable(f"{source}: {error.strerror or error}") from error
        ran = is_in_use(folder)
        look = _look(folder, share, clock)
        not_entered, gone = set(look.not_entered), look.gone
        if gone or (ran and not_entered):
            before = look
            if ran:
                _wait_for_scans(folder, not_entered, rules.scan_s + look.seconds, clock, pause)
            look = _look(folder, share, clock)
            same = look.not_entered.items() & before.not_entered.items()
            not_entered, gone = {movie for movie, _ in same}, gone & look.gone
    runs = ran and is_in_use(folder)
    found = (*_not_entered(not_entered if runs else set(look.not_entered), runs=runs), *_gone(gone))
    return SourceCheck(look.movies, look.entered, look.gone_after_release, look.skipped, found)


def _look(folder: Path, share: SourceAccess, clock: Callable[[], float]) -> _Look:
    with JournalReader(folder) as journal:
        mounts = set(json.loads(journal.about(_MOUNTS) or "[]"))
    began_s = clock()
    scan = share.scan((), mounts)
    seconds = clock() - began_s
    if scan.missing_root:
        raise _unreadable(scan.missing_root)
    with JournalReader(folder) as journal:  # after the scan: a running agent may have entered what is new
        return _compared(scan, journal, seconds)


def _unreadable(why: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"the source cannot be compared with the journal: {why}",
        hint="Mount the microscope's share, or wait until it answers; then run the same command again.",
    )


def _compared(scan: Scan, journal: JournalReader, seconds: float) -> _Look:
    not_entered, gone, gone_after_release = dict(scan.movies), set[str](), 0
    for movie, state in journal.movies():
        not_entered.pop(movie, None)
        if movie in scan.movies or movie in scan.not_movies or not scan.is_gone(movie):
            continue
        if state in _SENT:
            gone_after_release += 1
        else:
            gone.add(movie)
    entered, skipped = len(scan.movies) - len(not_entered), scan.all_skipped()
    for reason, names in from_note(journal.about(SKIPPED)).examples.items():
        for movie in not_entered.keys() & set(names):  # the journal could not take it, and says why
            skipped.add(reason, movie)
            del not_entered[movie]
    return _Look(len(scan.movies), entered, seconds, skipped, not_entered, gone, gone_after_release)


def _wait_for_scans(
    folder: Path, movies: set[str], scan_s: float, clock: Callable[[], float], pause: Callable[[float], None]
) -> None:
    """Wait until the agent has entered movies, at most as long as a few scans take."""
    end_s = clock() + min(_SCANS * scan_s, _LONGEST_WAIT_S)
    while clock() < end_s:
        pause(min(max(_SHORTEST_PAUSE_S, scan_s / 2), max(0.0, end_s - clock())))
        with JournalReader(folder) as journal:
            if movies and not movies - {movie for movie, _ in journal.movies()}:
                return


def _not_entered(movies: set[str], *, runs: bool) -> tuple[Discrepancy, ...]:
    if not runs:
        wait = "for `cryoferry watch`"
        what = "start it with the same options as before"
        one, several = f"{{count}} movie waits {wait}", f"{{count}} movies wait {wait}"
        return tuple(discrepancies("waits-for-watch", one, several, what, movies, is_alarm=False))
    return tuple(
        discrepancies(
            "not-in-journal",
            f"{{count}} movie lies in the source, and the running agent has not entered it after {_SCANS} scans",
            f"{{count}} movies lie in the source, and the running agent has not entered them after {_SCANS} scans",
            "look at the agent's log, and at what `cryoferry status` says of the source; then start the agent again",
            movies,
        )
    )


def _gone(movies: set[str]) -> tuple[Discrepancy, ...]:
    return tuple(
        discrepancies(
            "gone-before-release",
            "{count} movie is gone from the source, and its exposure was not sent",
            "{count} movies are gone from the source, and their exposures were not sent",
            "copy them from the microscope again if they are wanted; `cryoferry status PATTERN --full` shows each",
            movies,
        )
    )
