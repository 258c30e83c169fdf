"""Notices gain references, defect files and sidecars that come or change after their movie was aligned with others.

Each version of each input is compared once with what the exposures used, as the journal notes it: also after a restart,
since nothing but the journal says what is done. An input counts once it has not changed for the settle time.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from uuid import UUID

from agents.boundary import contained
from agents.finding.movie_inputs import NamedInputs, input_name
from agents.finding.source_access import SourceAccess
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import Candidate, InputKind, UsedInput, Version
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.opening import concerns_journal
from agents.journal.states import State
from preprocess.gains.reference_names import REFERENCE_FOLDERS, is_defect_file

log = logging.getLogger(__name__)

AT_ONCE, LOOKS_AT_ONCE, BYTES_AT_ONCE = 2000, 1000, 256 << 20
"""So many inputs are compared after one scan; so many files are looked at, and so many bytes read, for that."""
_SIDECARS = (".xml", ".mdoc")
_OF_OWN_MOVIE = (".tif.mdoc", ".tiff.mdoc", ".eer.mdoc")
_OF_ONE_MOVIE = re.compile(r"^(.+)[_-]gain(ref)?$", re.IGNORECASE)
_CAN_BEGIN = (State.RELEASED, State.HELD, State.FAILED, State.ALIGNED)
_BEFORE = (State.FOUND, State.FINISHED)
"""The exposure has not been aligned yet: it will be with what is there then."""


class LateInput(NamedTuple):
    """An exposure to process again, because of an input that came or changed after it was aligned."""

    exposure_id: UUID
    movie: str
    why: str


@dataclass(slots=True)
class _SeenInput:
    """One version of an input; `digest` is None until it is needed."""

    version: Version
    since_s: float
    is_done: bool = False
    digest: str | None = None
    not_used_by: set[UUID] = field(default_factory=set)


@dataclass(slots=True)
class _ComparedInput:
    """What comes of comparing one input with what the exposures used; `notes` is what the journal is to note."""

    name: str
    seen: _SeenInput
    late: list[LateInput] = field(default_factory=list)
    notes: list[tuple[UUID, UsedInput]] = field(default_factory=list)
    is_over: bool = True


class LateInputs:
    """The inputs that scans found, and which of them are compared with what the exposures used.

    Parameters
    ----------
    at_rest
        Gets the names of those that the next scans need not all look at.
    named
        Returns what the user named for an exposure.
    named_for_all
        What the user named for all of them.
    """

    def __init__(
        self,
        journal: Journal,
        source: Path,
        access: SourceAccess,
        *,
        settle_s: float,
        at_rest: set[str],
        named: Callable[[UUID], NamedInputs],
        named_for_all: NamedInputs,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal, self._source, self._access, self._clock = journal, source, access, clock
        self._settle_s, self._at_rest, self._named = settle_s, at_rest, named
        paths = (named_for_all.gain, named_for_all.defects)
        self._named_for_all = {input_name(source, path) for path in paths if path is not None}
        self._seen: dict[str, _SeenInput] = {}
        self._open: dict[str, None] = {}
        self._looks_left = self._bytes_left = self._news = 0

    def take_in(self, inputs: Mapping[str, FileIdentity]) -> None:
        """Take in the inputs that a scan looked at; those that no scan finds are looked at here."""
        now_s = self._clock()
        for name, identity in inputs.items():
            self._take_in(name, identity, now_s)
        for name in (self._named_for_all | self._journal.inputs.watched()) - inputs.keys():
            try:
                self._take_in(name, self._access.identity(movie_path(self._source, name)), now_s)
            except OSError:
                continue  # it is not there, or cannot be seen now

    def _take_in(self, name: str, identity: FileIdentity, now_s: float) -> None:
        version, seen = Version.of(identity), self._seen.get(name)
        if seen is None or seen.version != version:
            self._seen[name] = _SeenInput(version, now_s)
            self._news += 1
            self._open[name] = None
            self._at_rest.discard(name)

    def is_settled(self, name: str, identity: FileIdentity) -> bool:
        """Return whether an input, as it is now, has not changed for the settle time."""
        now_s = self._clock()
        self._take_in(name, identity, now_s)
        seen = self._seen[name]
        return seen.is_done or now_s - seen.since_s >= self._settle_s

    def news(self) -> int:
        """Return how many inputs came or changed so far."""
        return self._news

    def next_look_s(self) -> float | None:
        """Return in how many seconds the next input counts; None if none is awaited."""
        now_s = self._clock()
        waiting = (self._seen[name].since_s + self._settle_s - now_s for name in self._open)
        return min((each for each in waiting if each > 0), default=None)

    def came(self) -> list[LateInput]:
        """Return exposures to process again. One is returned again as long as the journal does not have it begin."""
        now_s, late = self._clock(), list[LateInput]()
        self._looks_left, self._bytes_left = LOOKS_AT_ONCE, BYTES_AT_ONCE
        settled = [name for name in self._open if now_s - self._seen[name].since_s >= self._settle_s]
        for name in settled[:AT_ONCE]:
            if self._is_used_up:
                break
            del self._open[name]
            comparison = _ComparedInput(name, self._seen[name])
            contained(partial(self._compare, comparison), partial(self._not_compared, comparison))
            if comparison.notes:
                with self._journal.transaction():  # one fsync for all
                    for exposure_id, note in comparison.notes:
                        self._journal.inputs.note_one(exposure_id, note)
            late += comparison.late
            if comparison.is_over and not comparison.late:
                self._seen[name].is_done = True
                self._at_rest.add(name)
            else:
                self._open[name] = None  # behind the others
        return late

    @property
    def _is_used_up(self) -> bool:
        return self._looks_left <= 0 or self._bytes_left <= 0

    # ---- one input

    @staticmethod
    def _not_compared(comparison: _ComparedInput, error: Exception) -> None:
        if concerns_journal(error):
            raise error
        comparison.is_over = False
        if isinstance(error, OSError):
            log.debug("%s cannot be compared now: %s; it is tried again", comparison.name, error)
        else:
            log.error("%s cannot be compared: unexpected; it is tried again", comparison.name, exc_info=error)

    def _compare(self, comparison: _ComparedInput) -> None:
        for candidate in self._concerned(comparison):
            if self._is_used_up:
                comparison.is_over = False
                return
            now = self._as_used_now(comparison, candidate)
            if now is None:
                continue
            if candidate.used is not None and candidate.used.digest == now.digest:
                comparison.notes.append((candidate.exposure_id, now))  # it was only touched
            elif candidate.state not in _CAN_BEGIN:
                comparison.is_over = False  # it is being sent: once it is released
            elif self._is_gone(candidate, now):
                comparison.notes.append((candidate.exposure_id, now))
            else:
                comparison.late.append(_late(candidate, now))

    def _concerned(self, comparison: _ComparedInput) -> Iterator[Candidate]:
        """Yield the exposures that may have been aligned with another version of an input, or without it."""
        name, seen = comparison.name, comparison.seen
        users = self._journal.inputs.users(name)
        for candidate in users:
            used = candidate.used
            if used is not None and used.version == seen.version:
                if used.kind is not InputKind.SIDECAR:  # that of a tilt series says something else about each movie
                    seen.digest = seen.digest or used.digest
            elif candidate.state not in _BEFORE:
                yield candidate
        known = {candidate.exposure_id for candidate in users}
        for candidate in self._candidates(name):
            if candidate.exposure_id not in known | seen.not_used_by and _may_lack(candidate, name):
                yield candidate

    def _candidates(self, name: str) -> list[Candidate]:
        """Return the exposures that by their names may use an input.

        A reference is for the movie whose name it bears, or for its folder and those below; the mdoc of a tilt series
        for movies below its folder.
        """
        beginning = _beginning_of_its_movie(name)
        found = self._journal.inputs.movies_with(beginning) if beginning else []
        if found or name.endswith(_OF_OWN_MOVIE):
            return found
        if name.endswith(".mdoc"):
            folder, _, series = beginning.rpartition("/")
            return self._journal.inputs.movies_below(f"{folder}/" if folder else "", series)
        return [] if name.endswith(_SIDECARS) else self._journal.inputs.movies_with(_beginning_of_folder(name))

    def _as_used_now(self, comparison: _ComparedInput, candidate: Candidate) -> UsedInput | None:
        """Return an input as an exposure would use it now; None if it would not."""
        seen, movie = comparison.seen, movie_path(self._source, candidate.movie)
        path = movie_path(self._source, comparison.name)
        if candidate.used is not None:
            kind: InputKind | None = candidate.used.kind
        else:
            self._looks_left -= 1
            found = self._access.inputs(movie, self._named(candidate.exposure_id))
            kind = next((each.kind for each in found if each.path == path), None)
        digest = seen.digest
        if kind is not None and digest is None:
            self._looks_left -= 1
            self._bytes_left -= seen.version.size_bytes
            digest = self._access.input_digest(kind, path, movie)
            if kind is not InputKind.SIDECAR:
                seen.digest = digest
        if kind is None or digest is None:
            seen.not_used_by.add(candidate.exposure_id)
            return None
        return UsedInput(kind, comparison.name, seen.version, digest)

    def _is_gone(self, candidate: Candidate, late: UsedInput) -> bool:
        """Return whether a movie is deleted, so that its exposure stays as it is; this is said once."""
        self._looks_left -= 1
        try:
            self._access.identity(movie_path(self._source, candidate.movie))
        except FileNotFoundError:
            log.warning(
                "%s: its %s %s came or changed after it had been processed, but the movie is gone: it stays as it is",
                candidate.movie, late.kind.in_words, late.path,
            )  # fmt: skip
            return True
        return False


def _late(candidate: Candidate, late: UsedInput) -> LateInput:
    happened = "changed" if candidate.used is not None and candidate.used.version is not None else "came"
    why = f"its {late.kind.in_words} {happened} after it had been processed"
    return LateInput(candidate.exposure_id, candidate.movie, why)


def _may_lack(candidate: Candidate, name: str) -> bool:
    """Return whether an exposure that did not use an input may have to be processed again with it."""
    if candidate.state in _BEFORE:
        return False
    if candidate.state == State.HELD:
        return True
    is_sidecar = PurePosixPath(name).suffix in _SIDECARS
    is_gain = not is_sidecar and not is_defect_file(PurePosixPath(name).name)
    if candidate.state != State.FAILED and candidate.has_gain and is_gain:
        return False  # it has a gain reference
    if candidate.is_noted:
        return True
    # An agent of an older version noted no inputs; only of gain references it is known that there was none.
    return candidate.state == State.RELEASED and candidate.has_gain is False and is_gain


def _beginning_of_folder(name: str) -> str:
    """Return how the names of all movies begin in the folder that a reference lies in, or is kept for."""
    folder = PurePosixPath(name).parent
    if folder.name.lower() in REFERENCE_FOLDERS:
        folder = folder.parent
    return "" if str(folder) == "." else f"{folder}/"


def _beginning_of_its_movie(name: str) -> str:
    """Return how the name of the movie begins whose name an input bears; empty: it bears none."""
    path = PurePosixPath(name)
    if path.suffix in _SIDECARS:
        return str(path.with_suffix("")).removesuffix(".mrc").removesuffix(".st")  # `TS_01.mrc.mdoc`: TS_01_000_0.0.tif
    of_one = _OF_ONE_MOVIE.match(path.stem)
    return str(path.with_name(of_one[1])) if of_one and path.suffix != ".gain" else ""
