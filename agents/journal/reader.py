"""Reads an agent's journal and never changes it: for people and programs that look while the agent works, or after.

It reads the journals of older versions in their own form. A look at 50 000 exposures takes a fraction of a second: it
asks indexes and counters, and reads the rows of those exposures alone that are shown.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from agents.journal.account import account_of_journal
from agents.journal.opening import NAME, JournalError
from agents.journal.schema import SCHEMA_VERSION, SENT_OF_EXPOSURES
from agents.journal.states import UNFINISHED, State
from transfer.wire.accounting import AgentAccount

_NAMES_IN_VERSION_1 = {"finished": "settled", "held": "rejected"}
_COLUMNS = "movie, label, state, reason, hint, revision, motion_angstrom, warnings, changed_at"
_AT_ONCE = 500
_SHORTEST_S = 300.0
_DAMAGED = (
    "Start the agent with `cryoferry watch`, as before: it keeps this file under another name, begins a new"
    " journal, and asks the receiver what it has. `cryoferry status --to URL --session NAME` shows that."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedExposure:
    """An exposure as lists show it. `published_id` is its id on the receiver; `changed_at` is in s since 1970."""

    published_id: str
    movie: str
    label: str
    state: State
    reason: str
    hint: str
    revision: int
    motion_angstrom: float | None
    warnings: tuple[str, ...]
    changed_at: float


class SentMovies(NamedTuple):
    """How many movies and bytes the receiver committed, and when the first movie was found and the last one sent.

    Both times are in seconds since 1970, to the minute for `last_at`; None: there is none.
    """

    movies: int
    size_bytes: int
    movies_last_hour: int
    bytes_last_hour: int
    first_found_at: float | None
    last_at: float | None

    def per_hour(self) -> float | None:
        """Return the movies sent per hour, from when the first was found until the last was sent.

        None: that took less than five minutes, too short for a rate.
        """
        if self.first_found_at is None or self.last_at is None or self.last_at - self.first_found_at < _SHORTEST_S:
            return None
        return self.movies * 3600.0 / (self.last_at - self.first_found_at)


class NumberedExposure(NamedTuple):
    """An exposure's number in the journal, its id on the receiver, and its movie."""

    number: int
    published_id: str
    movie: str


class JournalReader:
    """The journal of one work folder, read only; it may belong to a running agent, or to one of an older version.

    All reads show the same moment. Close it soon: the agent cannot commit while it is open.

    Parameters
    ----------
    work
        The work folder.
    clock
        Seconds since 1970.

    Raises
    ------
    JournalError
        There is no journal, it is damaged, or a newer version of cryoferry wrote it.
    """

    def __init__(self, work: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = work / NAME, clock
        with self._readable():
            if self._path.stat().st_size == 0:
                raise JournalError(f"the journal {self._path} is empty: it has 0 bytes", hint=_DAMAGED)
            # Not mode=ro: SQLite may have to take back what an agent that was killed has written in part.
            self._db = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)
            try:
                self._db.execute("PRAGMA query_only = ON")
                self._db.execute("BEGIN")
                self._version = self._look_at_version()
                names = {row[1] for row in self._db.execute("PRAGMA table_info(exposures)")}
            except (sqlite3.Error, JournalError):
                self._db.close()
                raise
        self._are_claimed = "receiver_exposure_id" in names
        self._id = "coalesce(receiver_exposure_id, exposure_id)" if "receiver_exposure_id" in names else "exposure_id"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _look_at_version(self) -> int:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"about", "exposures", "events"} <= tables or version < 1:
            raise JournalError(f"{self._path} is not the journal of an agent: it is another program's database")
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"{self._path} was written by a newer version of cryoferry: its schema is version {version}, and this"
                f" cryoferry reads versions up to {SCHEMA_VERSION}",
                hint="Use the newer cryoferry with this work folder.",
            )
        return version

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say what is wrong with the journal when it cannot be read.

        Raises
        ------
        JournalError
        """
        try:
            yield
        except FileNotFoundError as error:
            raise JournalError(f"there is no journal in {self._path.parent}") from error
        except OSError as error:
            raise JournalError(f"the journal {self._path} cannot be read: {error.strerror}") from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                text, hint = "is locked by another process for more than 30 s", "Run the same command again."
            else:
                text, hint = f"cannot be read: {error}", "Check the permissions and the disk of the work folder."
            raise JournalError(f"the journal {self._path} {text}", hint=hint) from error
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise JournalError(f"the journal {self._path} is damaged: {error}", hint=_DAMAGED) from error

    # ---- the whole

    def about(self, key: str) -> str | None:
        """Return what was noted under that key."""
        with self._readable():
            row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

    def counts(self) -> dict[State, int]:
        """Return how many exposures are in each state."""
        counting = "SELECT state, count FROM state_counts WHERE count > 0"
        if self._version < 3:
            counting = "SELECT state, count(*) FROM exposures GROUP BY state"
        with self._readable():
            found = {self._state(name): int(count) for name, count in self._db.execute(counting)}
            return {state: found.get(state, 0) for state in State}

    def account(self) -> AgentAccount:
        """Return where the exposures are that the agent has seen."""
        source = self.about("source_name") or ""
        with self._readable():
            return account_of_journal(self._db, source, are_claimed=self._are_claimed, named=self._named)

    def sent(self) -> SentMovies:
        """Return what the receiver committed, in all and over the last hour."""
        table = "sent" if self._version >= 3 else f"({self._named(SENT_OF_EXPOSURES)})"
        totals = "SELECT coalesce(sum(movies), 0), coalesce(sum(size_bytes), 0)"
        now_s = self._clock()
        with self._readable():
            *all_sent, last_minute = self._db.execute(f"{totals}, max(minute) FROM {table}").fetchone()
            last_hour = self._db.execute(f"{totals} FROM {table} WHERE minute > ?", (now_s // 60 - 60,)).fetchone()
            first = self._db.execute("SELECT found_at FROM exposures ORDER BY number LIMIT 1").fetchone()
            return SentMovies(
                movies=int(all_sent[0]),
                size_bytes=int(all_sent[1]),
                movies_last_hour=int(last_hour[0]),
                bytes_last_hour=int(last_hour[1]),
                first_found_at=None if first is None else float(first[0]),
                last_at=None if last_minute is None else min(now_s, 60.0 * last_minute + 60),
            )

    def oldest_waiting(self) -> ListedExposure | None:
        """Return the exposure that has been in its state for longest, of those that are not done; None: none waits."""
        query = "SELECT number, changed_at FROM exposures WHERE state = ? ORDER BY changed_at LIMIT 1"
        with self._readable():
            found = [self._db.execute(query, (self._stored(state),)).fetchone() for state in sorted(UNFINISHED)]
            waiting = [row for row in found if row is not None]
            if not waiting:
                return None
            return self._rows([min(waiting, key=lambda row: float(row[1]))[0]])[0]

    # ---- exposures, by a filter

    def listed(
        self,
        *,
        states: Collection[State] = tuple(State),
        since: float | None = None,
        is_wanted: Callable[[str], bool] | None = None,
        exposure_id: str = "",
        most: int | None = None,
    ) -> tuple[list[ListedExposure], int]:
        """Return the exposures that fit, the newest change last, and how many older ones are left out.

        Parameters
        ----------
        states
            The states that fit.
        since
            They changed at this time or later, in seconds since 1970; None: at any time.
        is_wanted
            Is given the path of a movie; says whether it fits. None: all do.
        exposure_id
            The exposure of this id fits too, whatever `is_wanted` says.
        most
            The newest so many are returned; None: all.
        """
        marks = ", ".join("?" * len(states))
        query = f"SELECT changed_at, number FROM exposures WHERE state IN ({marks}) AND changed_at >= ?"  # noqa: S608  # marks alone
        values = (*map(self._stored, states), -1e18 if since is None else since)
        with self._readable():
            found = sorted(self._db.execute(query, values))
            if is_wanted is not None:
                wanted = {
                    row[0] for row in self._db.execute("SELECT number, movie FROM exposures") if is_wanted(row[1])
                }
                if exposure_id:
                    by_id = f"SELECT number FROM exposures WHERE ? IN (exposure_id, {self._id})"  # noqa: S608  # fixed text
                    wanted |= {row[0] for row in self._db.execute(by_id, (exposure_id,))}
                found = [row for row in found if row[1] in wanted]
            kept = found if most is None else found[max(0, len(found) - most) :]
            return self._rows([number for _, number in kept]), len(found) - len(kept)

    def _rows(self, numbers: list[int]) -> list[ListedExposure]:
        """Return exposures by their numbers, in that order."""
        found: dict[int, ListedExposure] = {}
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            query = f"SELECT number, {self._id}, {_COLUMNS} FROM exposures WHERE number IN ({marks})"  # noqa: S608  # marks alone
            for number, *columns in self._db.execute(query, part):
                found[number] = self._listed(*columns)
        return [found[number] for number in numbers]

    def _listed(self, published_id: Any, movie: Any, label: Any, state: Any, *rest: Any) -> ListedExposure:
        reason, hint, revision, motion_angstrom, warnings, changed_at = rest
        return ListedExposure(
            published_id=str(published_id),
            movie=str(movie),
            label=str(label),
            state=self._state(state),
            reason=str(reason),
            hint=str(hint),
            revision=int(revision),
            motion_angstrom=motion_angstrom,
            warnings=tuple(json.loads(warnings)),
            changed_at=float(changed_at),
        )

    # ---- all exposures, for comparisons

    def movies(self) -> Iterator[tuple[str, State]]:
        """Yield each movie and its state."""
        with self._readable():
            for movie, state in self._db.execute("SELECT movie, state FROM exposures"):
                yield movie, self._state(state)

    def sent_revisions(self) -> dict[int, int]:
        """Return the newest revision of each exposure that is committed or released, by its number."""
        query = f"SELECT number, revision FROM exposures WHERE state IN ('{State.COMMITTED}', '{State.RELEASED}')"  # noqa: S608  # our own names
        with self._readable():
            return dict(self._db.execute(query))

    def of_ids(self, published_ids: Collection[str]) -> list[NumberedExposure]:
        """Return the exposures that the receiver calls so; several movies can be one exposure."""
        marks = ", ".join("?" * len(published_ids))
        which = [f"exposure_id IN ({marks})"]
        if self._are_claimed:
            which = [f"receiver_exposure_id IN ({marks})", f"receiver_exposure_id IS NULL AND {which[0]}"]
        return [found for where in which for found in self._published(where, published_ids)]

    def of_numbers(self, numbers: Collection[int]) -> list[NumberedExposure]:
        """Return exposures by their numbers."""
        return self._published(f"number IN ({', '.join('?' * len(numbers))})", numbers)

    def _published(self, where: str, values: Collection[int | str]) -> list[NumberedExposure]:
        query = f"SELECT number, {self._id}, movie FROM exposures WHERE {where} ORDER BY number"  # noqa: S608  # our own names
        with self._readable():
            return [NumberedExposure(*row) for row in self._db.execute(query, tuple(values))]

    # ---- the names of states in older journals

    def _stored(self, state: State) -> str:
        return _NAMES_IN_VERSION_1.get(state.value, state.value) if self._version == 1 else state.value

    def _state(self, stored: str) -> State:
        names = {old: new for new, old in _NAMES_IN_VERSION_1.items()} if self._version == 1 else {}
        return State(names.get(stored, stored))

    def _named(self, query: str) -> str:
        """Return a query with the names that the journal's version has for the states."""
        for state in State:
            query = query.replace(f"'{state.value}'", f"'{self._stored(state)}'")
        return query
