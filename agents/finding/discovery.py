"""Enters in the journal what a scan finds: movies that are new, finished, broken, overwritten or deleted."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from agents.finding.comparisons import AT_ONCE, Comparisons
from agents.finding.input_waits import InputWaits
from agents.finding.late_inputs import LateInputs
from agents.finding.movie_inputs import NamedInputs
from agents.finding.scan import Scan
from agents.finding.set_apart import SetApart
from agents.finding.settle import MovieStatus, Settling
from agents.finding.skipped_files import SkippedFiles
from agents.finding.source_access import DirectAccess, SourceAccess
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import WAITS
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path, relative_path
from agents.journal.rows import ExposureRow, Standing
from agents.journal.states import State
from preprocess.layouts import Layout
from transfer.wire.exposure_claim import ClaimReason
from transfer.wire.remote_names import remote_path

log = logging.getLogger(__name__)

_SHORTEST_PAUSE_S = 0.2
_MISSING_PAUSE_S = 1.0
_EARLIER = 50
"""So many movies of an earlier start of the agent say which inputs can be expected."""
_EMPTY_S = 600.0
_BROKEN_HINT = "Copy it from the microscope again; when it changes, the agent processes it again."
_NO_MOVIE_HINT = "If it is one, start the agent with --layout flat."
_GONE_HINT = "When it comes back, the agent processes it again."
_OVER = (State.RELEASED, State.HELD, State.FAILED)
_MOUNTS = "mounts"
"""The journal's note of the folders where something was mounted."""
_Standing = Mapping[str, Standing]


class _FoundStep(NamedTuple):
    """One change of the journal that a scan leads to; the identity is None if the movie is gone."""

    movie: str
    identity: FileIdentity | None
    act: Callable[[], object]


class LastScan(NamedTuple):
    """How many movies the last scan looked at, and which of them the journal does not have, in order."""

    looked_at: int
    not_entered: list[str]


class Discovery:
    """Scans the source and enters what it finds.

    Attributes
    ----------
    source_missing
        Why the source as a whole cannot be read; empty when it can.
    comparisons
        Which released movies look touched, so that their content must be compared.

    Parameters
    ----------
    input_wait_s
        How long a finished movie waits for an input that is expected, in seconds.
    gain_wait_s
        How long it waits for a gain reference that it needs, in seconds.
    named
        Returns what the user named for an exposure, from what `retry` changed for it.
    access
        Answers what the share is asked; None: this process asks it.
    """

    def __init__(
        self,
        journal: Journal,
        source: Path,
        layout: Layout,
        *,
        settle_s: float,
        give_up_s: float,
        input_wait_s: float = 0.0,
        gain_wait_s: float = 0.0,
        named: Callable[[Mapping[str, Any]], NamedInputs] = lambda _: NamedInputs(),
        follow_links: bool = False,
        access: SourceAccess | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal, self._source, self._layout = journal, source, layout
        self._access = access or DirectAccess(source, layout, follow_links=follow_links)
        self._settling = Settling(
            settle_s=settle_s, give_up_s=give_up_s, missing_structure=self._access.missing_structure, clock=clock
        )
        self._set_apart, self._skipped = SetApart(journal), SkippedFiles(journal)
        self.comparisons = Comparisons()
        self.source_missing = ""
        self._settle_s, self._clock = settle_s, clock
        self._missing_since_s: dict[str, float] = {}
        self._without_digest: dict[str, UUID] | None = None
        self._at_rest: set[str] = set()
        self._named = named
        self._late_inputs = LateInputs(
            journal, source, self._access, settle_s=settle_s, at_rest=self._at_rest, named=self._named_for,
            named_for_all=named({}), clock=clock,
        )  # fmt: skip
        self._input_waits = InputWaits(
            source, layout, wait_s=input_wait_s, gain_wait_s=gain_wait_s, look=self._access.inputs,
            judge=self._access.judged_counts, is_settled=self._late_inputs.is_settled, news=self._late_inputs.news,
            earlier=journal.inputs.newest(_EARLIER), clock=clock, wall_clock=wall_clock,
        )  # fmt: skip
        self._wall_clock = wall_clock
        self._new_here: set[str] = set()
        self._waiting: dict[str, tuple[str, str]] = {}
        self._last_movies: Mapping[str, FileIdentity] | None = None
        self._mounts: set[str] = set(json.loads(journal.about(_MOUNTS) or "[]"))
        journal.note(source_trouble=None)  # what an agent that was killed had noted

    def scan_once(self) -> bool:
        """Scan, and enter what was found; return whether the journal changed."""
        growing = self._journal.standing_of_found()
        self._at_rest.difference_update(growing)  # the same set: late inputs are in it too
        found = self._access.scan(self._at_rest, self._mounts)
        self._report(found)
        if found.missing_root:
            self._last_movies = None
            self._missing_since_s.clear()
            return False
        self._note_mounts(found.mounts)
        standing = growing | self._journal.standing(found.movies)
        self._leave_out(found, standing)
        self._late_inputs.take_in(found.inputs)
        steps = self._new(found, standing) + self._known(found, standing) + self._gone(found, standing)
        steps += self._with_late_input(found) if not steps else []
        self.comparisons.want(self._touched(found, standing))
        self._note_rest(found, standing)
        if steps:
            with self._journal.transaction():  # one fsync for all
                for step in steps:
                    self._set_apart.alone(step.movie, step.identity, step.act, None, is_change=True)
        for movie, why in self._settling.unreadable.items():
            found.skipped.add(f"cannot be read: {why}", movie)
        self._skipped.take_in(found, self._set_apart.unrecorded)
        self._last_movies = found.movies
        return bool(steps)

    def last_scan(self) -> LastScan | None:
        """Compare the last scan with the journal; None: no scan has ended, or the source could not be read.

        Movies at rest whose turn it was not are not compared, nor those that are skipped with their reason.
        """
        if self._last_movies is None:
            return None
        known = self._journal.standing(self._last_movies)
        return LastScan(
            len(self._last_movies), sorted(self._last_movies.keys() - known.keys() - self._set_apart.unrecorded.keys())
        )

    def _note_mounts(self, mounts: set[str]) -> None:
        if mounts != self._mounts:
            self._mounts = mounts
            self._journal.note(**{_MOUNTS: json.dumps(sorted(mounts)) if mounts else None})

    def _leave_out(self, found: Scan, standing: dict[str, Standing]) -> None:
        """Leave movies out of the scan that could not be handled in an earlier one, and are as they were."""
        for movie in self._set_apart.movies & found.movies.keys():
            if self._set_apart.is_left_out(movie, found.movies[movie], standing.get(movie)):
                del found.movies[movie]
                standing.pop(movie, None)

    def _note_rest(self, found: Scan, standing: _Standing) -> None:
        """Note which movies need not be looked at by each scan: released ones that are as they were."""
        without_digest = self._without_digest or {}
        for movie, identity in found.movies.items():
            known = standing.get(movie)
            if (
                known is not None
                and known.state == State.RELEASED
                and not known.may_be_overwritten(identity)
                and movie not in without_digest
            ):
                self._at_rest.add(movie)
            else:
                self._at_rest.discard(movie)

    @property
    def unreadable_movie(self) -> Path | None:
        """One of the movies that the share does not let anybody read now; None: there is none."""
        movie = next(iter(self._settling.unreadable), None)
        return None if movie is None else movie_path(self._source, movie)

    def look_again(self) -> None:
        """Let the next scan look inside movies that could not be read."""
        self._settling.look_again()

    def pause_s(self, scan_s: float) -> float:
        """Return how long to wait for the next scan: `scan_s`, or less when a movie can be finished earlier.

        A source that is missing is looked at every second: that asks for one folder.
        """
        if self.source_missing:
            return min(scan_s, _MISSING_PAUSE_S)
        parts = (self._settling, self._late_inputs, self._input_waits)
        looks_s = [look_s for part in parts if (look_s := part.next_look_s()) is not None]
        return max(_SHORTEST_PAUSE_S, min([scan_s, *looks_s])) if looks_s else scan_s

    def _new(self, found: Scan, standing: _Standing) -> list[_FoundStep]:
        new = [(identity, movie) for movie, identity in found.movies.items() if movie not in standing]
        new.sort(key=lambda item: item[0].mtime_ns)  # the oldest first
        for identity, movie in new:
            self._set_apart.alone(movie, identity, partial(self._observe, movie, identity), None)
        return [_FoundStep(movie, identity, partial(self._enter, movie)) for identity, movie in new]

    def _observe(self, movie: str, identity: FileIdentity) -> tuple[MovieStatus, str]:
        return self._settling.observe(movie, movie_path(self._source, movie), identity)

    def _enter(self, movie: str) -> None:
        stem = remote_path(_without_suffix(relative_path(movie)))
        self._journal.find(movie, self._layout.label(movie), stem)
        self._new_here.add(movie)

    def _known(self, found: Scan, standing: _Standing) -> list[_FoundStep]:
        steps = []
        for movie, identity in found.movies.items():
            known = standing.get(movie)
            if known is None or (known.state == State.RELEASED and not known.is_overwritten(identity)):
                continue
            act = self._set_apart.alone(movie, identity, partial(self._judge, movie, known, identity), None)
            if act is not None:
                steps.append(_FoundStep(movie, identity, act))
        return steps

    def _judge(self, movie: str, known: Standing, identity: FileIdentity) -> Callable[[], object] | None:
        """Return what follows from how a movie is now; None if nothing does."""
        if known.state == State.FOUND:
            return self._judge_new(movie, UUID(known.exposure_id), identity)
        if known.state in _OVER and known.is_overwritten(identity):
            return self._overwritten(movie, known, identity)
        return None

    def _overwritten(self, movie: str, known: Standing, identity: FileIdentity) -> Callable[[], object] | None:
        """Return what follows from another size or time stamp; None if the content of a released movie decides."""
        why = "the movie changed after it had been processed"
        if known.state != State.RELEASED:
            return self._again(movie, known, why)
        if known.size_bytes == identity.size_bytes:
            return None
        return self._again(movie, known, why, ClaimReason.CHANGED)

    def _named_for(self, exposure_id: UUID) -> NamedInputs:
        return self._named(self._journal.exposure(exposure_id).changes)

    def _with_late_input(self, found: Scan) -> list[_FoundStep]:
        return [
            _FoundStep(
                late.movie,
                found.movies.get(late.movie),
                partial(self._begin_again, late.movie, late.exposure_id, late.why, ClaimReason.LATE_INPUT),
            )
            for late in self._late_inputs.came()
        ]

    def _touched(self, found: Scan, standing: _Standing) -> Iterator[UUID]:
        """Yield released exposures whose movie may have another content, or has no digest yet; the newest first."""
        released = [
            (identity.mtime_ns, UUID(known.exposure_id))
            for movie, identity in found.movies.items()
            if (known := standing.get(movie)) is not None
            and known.state == State.RELEASED
            and known.size_bytes == identity.size_bytes
            and known.may_be_overwritten(identity)
        ]
        yield from (exposure_id for _, exposure_id in sorted(released, reverse=True))
        if self._without_digest is None:
            self._without_digest = {movie: key for key, movie in self._journal.without_digest()}
        for movie, exposure_id in list(islice(self._without_digest.items(), AT_ONCE)):
            if movie in found.movies and not self._journal.has_digest(exposure_id):
                yield exposure_id
            else:
                del self._without_digest[movie]

    def _again(
        self, movie: str, known: Standing, why: str, reason: ClaimReason = ClaimReason.NEW
    ) -> Callable[[], object]:
        return partial(self._begin_again, movie, UUID(known.exposure_id), why, reason)

    def _judge_new(self, movie: str, exposure_id: UUID, identity: FileIdentity) -> Callable[[], object] | None:
        verdict, missing = self._observe(movie, identity)
        if verdict == MovieStatus.WAITING:
            self._input_waits.forget(movie)
            return None
        if verdict == MovieStatus.FINISHED:
            exposure = self._journal.exposure(exposure_id)
            named, waited_s = self._named(exposure.changes), self._waited_s(exposure)
            reason = self._input_waits.reason(movie, named, waited_s)
            if reason:
                return self._waits(movie, exposure, reason)
        self._forget(movie)
        if verdict == MovieStatus.FINISHED:
            return partial(self._journal.finish, exposure_id, identity)
        reason = f"the movie is not whole, and nothing writes to it any more: {missing}"
        log.warning("%s: %s", movie, reason)
        return partial(self._journal.set_aside, exposure_id, identity, reason, _BROKEN_HINT)

    def _waited_s(self, exposure: ExposureRow) -> float:
        """Return for how long a movie may have waited before this start of the agent, or before it began again.

        It counts since the movie was found: a restart, or another input that comes late, does not begin a wait anew.
        """
        is_new = exposure.movie in self._new_here
        return 0.0 if is_new else max(0.0, self._wall_clock() - exposure.found_at)

    def _waits(self, movie: str, exposure: ExposureRow, reason: str) -> Callable[[], object] | None:
        """Return what says in the journal and in the log that a movie waits; None if that is said."""
        before, said = self._waiting.get(movie, (None, ""))
        if reason == said:
            return None
        if before is None:
            noted = exposure.reason  # such as: its gain reference changed
            before = noted.partition(WAITS)[0].removesuffix("; it ")  # without what an agent that ended had noted
        self._waiting[movie] = before, reason
        log.info("%s %s", movie, reason)
        return partial(self._journal.explain, exposure.exposure_id, f"{before}; it {reason}" if before else reason)

    def _forget(self, movie: str) -> None:
        """Forget what is noted about a movie that may still grow, or waits."""
        self._settling.forget(movie)
        self._input_waits.forget(movie)
        self._waiting.pop(movie, None)
        self._new_here.discard(movie)

    def _begin_again(self, movie: str, exposure_id: UUID, why: str, reason: ClaimReason) -> None:
        exposure = self._journal.begin_again(exposure_id, why, reason=reason)
        log.warning("%s: %s; it is processed again as revision %d", movie, why, exposure.revision)

    def _gone(self, found: Scan, standing: _Standing) -> list[_FoundStep]:
        """Return what follows for movies that no walk has found for a while: a share may have dropped out of one.

        A source in which nothing is left at all is more likely a share that lists nothing.
        """
        missing = [movie for movie, known in standing.items() if known.state == State.FOUND and found.is_gone(movie)]
        now_s, before = self._clock(), self._missing_since_s
        self._missing_since_s = {movie: before.get(movie, now_s) for movie in missing}
        wait_s = max(self._settle_s, _EMPTY_S) if found.is_empty else self._settle_s
        steps = []
        for movie, since_s in self._missing_since_s.items():
            if movie in before and now_s - since_s >= wait_s:
                self._forget(movie)
                act = partial(self._set_gone_aside, movie, UUID(standing[movie].exposure_id), found.not_movies)
                steps.append(_FoundStep(movie, None, act))
        return steps

    def _set_gone_aside(self, movie: str, exposure_id: UUID, not_movies: Mapping[str, str]) -> None:
        if movie in not_movies:
            reason = f"it is no movie: {not_movies[movie]}"
            log.warning("%s: %s", movie, reason)
            self._journal.set_aside(exposure_id, None, reason, _NO_MOVIE_HINT)
            return
        why = self._journal.exposure(exposure_id).reason  # such as: the receiver has lost it
        reason = f"the movie is gone, so it cannot be processed again; {why}" if why else "the movie is gone"
        log.warning("%s: %s", movie, reason)
        self._journal.set_aside(exposure_id, None, reason, _GONE_HINT)

    def _report(self, found: Scan) -> None:
        """Say that the source cannot be read, or can be read again, once for each change."""
        if found.missing_root != self.source_missing:
            self.source_missing = found.missing_root
            if found.missing_root:
                log.warning(
                    "source: %s; the agent waits for it, and no movie counts as deleted",
                    found.missing_root,
                )
            else:
                log.info("the source %s can be read again", self._source)
            self._journal.note(source_trouble=found.missing_root or None)


def _without_suffix(movie: str) -> str:
    folder, slash, name = movie.rpartition("/")
    return f"{folder}{slash}{Path(name).stem}"
