"""The agent's journal: what became of every exposure, durable in `WORK/journal.sqlite`.

A restart continues from it alone. SQLite's rollback journal is in TRUNCATE mode with synchronous FULL, so that a
committed row survives a power cut. Other processes (`status`, `retry`) read and write it while the agent runs.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from agents.journal.account import account_of_journal
from agents.journal.answered_requests import AnsweredRequests
from agents.journal.changes import Change, ExposureChanged, NoteChanged
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import ExposureInputs
from agents.journal.opening import NAME, JournalDamaged, JournalError, open_database, whole_or_nothing
from agents.journal.outputs import Output, output_of, references, renamed
from agents.journal.retryable import RetryableExposures
from agents.journal.rows import (
    ExposureRow,
    ReleasedExposure,
    Standing,
    WaitingExposure,
    exposure_of,
    identity_columns,
    released_of,
)
from agents.journal.states import SET_ASIDE, TRANSITIONS, State
from agents.journal.taken_stems import TakenStems
from agents.work_folder import is_in_use
from preprocess.escaped_names import encodable
from transfer.wire.accounting import AgentAccount
from transfer.wire.exposure_claim import ClaimAnswer, ClaimReason, ClaimStatus
from transfer.wire.exposure_record import ExposureRecord, ProvenanceRecord
from transfer.wire.figures import MOTION_TOTAL
from transfer.wire.receipt import Receipt

NEWEST_SEQUENCE = "receiver_sequence"
"""The note (`Journal.about`) of the highest number of a commit that the receiver told."""
WENT_BACK = "receiver_went_back"
"""The note of a commit that shows that the receiver went back in time: no comparison has ended since."""
_CHECK = "check"
_NO_DIGESTS: dict[str, Any] = {"sampled_digest": None, "movie_digest": None}


_NAMES_AT_ONCE, _MANY_MOVIES = 500, 20_000


def _file_number(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _ignore(change: Change) -> None:
    """Announce nothing."""


class WrongTransition(JournalError):
    """An exposure cannot go from that state to this one."""


class Journal:
    """The journal of one work folder; safe to use from several threads and processes.

    Parameters
    ----------
    work
        The work folder.
    create
        The agent's own opening: makes the journal if there is none. Otherwise it must exist.
    announce
        Gets each change once, in order, as soon as it is durable. It must not wait and must not use the journal.
        A change that another process made is announced too: before this process's next change, or when
        `announce_changes_of_others` is called.
    clock
        Seconds since 1970.

    Raises
    ------
    JournalError
        There is no journal, or this version of cryoferry cannot use it.
    """

    def __init__(
        self,
        work: Path,
        *,
        create: bool = True,
        announce: Callable[[Change], None] = _ignore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        path = work / NAME
        if not create and not path.is_file():
            raise JournalError(f"there is no journal in {work}")
        if not create and path.stat().st_size == 0:
            raise JournalError(
                f"the journal {path} is empty",
                hint="Start `cryoferry watch` with this work folder: it asks the receiver what it has, and goes on.",
            )
        self._path = path
        self._lock = threading.RLock()
        self._announce, self._clock = announce, clock
        self._changed: list[Change] = []
        self._writer = uuid4().hex
        self._db = open_database(path, may_migrate=create or not is_in_use(work))
        self._file = _file_number(path)
        self._last_event = self._newest_event()
        self._stems = TakenStems(self._db)
        self.requests = AnsweredRequests(self._db, self._lock, self.transaction)
        self.inputs = ExposureInputs(self._db, self._lock, self.transaction)
        self.retryable = RetryableExposures(self._db, self._lock, self.transaction)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def check(self) -> None:
        """Make sure that the journal's file lies where it was opened, and that it can be written.

        Raises
        ------
        JournalDamaged
            The file was deleted or replaced.
        OSError, JournalFull, sqlite3.DatabaseError
        """
        self.check_place()
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (_CHECK, ""))
            self._db.execute("DELETE FROM about WHERE key = ?", (_CHECK,))

    def check_place(self) -> None:
        """Make sure that the journal's file lies where it was opened; SQLite would go on with a deleted file.

        Raises
        ------
        JournalDamaged
            The file was deleted or replaced.
        OSError
            That cannot be told now.
        """
        try:
            is_same = _file_number(self._path) == self._file
        except (FileNotFoundError, NotADirectoryError) as error:
            raise JournalDamaged(f"the journal {self._path} was deleted or moved while the agent used it") from error
        if not is_same:
            raise JournalDamaged(f"another file lies in the place of the journal {self._path}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything inside, or nothing of it."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._changed.clear()
            with whole_or_nothing(self._db):
                of_others, newest_event = self._changes_of_others()
                yield
            self._last_event = newest_event
            for change in (*of_others, *self._changed):
                self._announce(change)

    @contextmanager
    def part_of_transaction(self) -> Iterator[None]:
        """Do everything inside, or nothing of it; the transaction around it goes on either way."""
        announced, is_done = len(self._changed), False
        self._db.execute("SAVEPOINT part")
        try:
            yield
            is_done = True
        finally:
            if not is_done:
                del self._changed[announced:]
            if self._db.in_transaction:  # SQLite itself ends a transaction when the disk is full
                if not is_done:
                    self._db.execute("ROLLBACK TO part")
                self._db.execute("RELEASE part")

    # ---- what other processes change

    def announce_changes_of_others(self) -> bool:
        """Announce what other processes (`cryoferry retry`) changed; return whether there was something."""
        with self._lock:
            of_others, self._last_event = self._changes_of_others()
            for change in of_others:
                self._announce(change)
        return bool(of_others)

    def _changes_of_others(self) -> tuple[list[Change], int]:
        """Return what others changed since the last time, and the newest event there is."""
        rows = self._db.execute(
            "SELECT exposure_id, kind, detail FROM events"
            " WHERE number > ? AND writer != ? AND exposure_id IS NOT NULL ORDER BY number",
            (self._last_event, self._writer),
        ).fetchall()
        return [self._change_of(row) for row in rows], self._newest_event()

    def _newest_event(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])

    def _change_of(self, event: sqlite3.Row) -> Change:
        """Return the announcement of an event; the exposure may be further by now."""
        now = ExposureChanged.of(self._one("exposure_id = ?", event["exposure_id"]))
        if now.state == event["kind"]:
            return now
        return replace(now, state=State(event["kind"]), reason=event["detail"], hint="")

    # ---- what the work folder belongs to

    def about(self, key: str) -> str | None:
        """Return what was noted under that key."""
        with self._lock:
            row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def note(self, **values: str | None) -> None:
        """Note values that `about` returns; None forgets one."""
        with self.transaction():
            for key, value in values.items():
                if value != self.about(key):
                    self._changed.append(NoteChanged(key=key, value=value))
                if value is None:
                    self._db.execute("DELETE FROM about WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    # ---- exposures

    def find(self, movie: str, label: str, remote_stem: str) -> ExposureRow:
        """Enter a movie that was found; `remote_stem` gets a number where another exposure has that name."""
        with self.transaction():
            now = self._clock()
            taken = self._stems.free(remote_stem)
            self._db.execute(
                "INSERT INTO exposures (exposure_id, movie, remote_stem, label, state, found_at, changed_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (str(uuid4()), movie, taken, label, State.FOUND, now, now),
            )
            found = self._one("movie = ?", movie)
            self._changed.append(ExposureChanged.of(found))
            return found

    def exposure(self, exposure_id: UUID) -> ExposureRow:
        """Return an exposure."""
        return self._one("exposure_id = ?", str(exposure_id))

    def exposures(self, states: Iterable[State] | None = None) -> list[ExposureRow]:
        """Return the exposures in these states (None: all), the one found first coming first."""
        wanted = list(State if states is None else states)
        marks = ", ".join("?" * len(wanted))
        with self._lock:
            rows = self._db.execute(f"SELECT * FROM exposures WHERE state IN ({marks}) ORDER BY number", wanted)  # noqa: S608  # marks alone
            return [exposure_of(row) for row in rows]

    def waiting(self, states: Iterable[State], most: int, *, newest_first: bool) -> list[WaitingExposure]:
        """Return, for each of these states, at most so many exposures: those found first, or those found last."""
        order = "DESC" if newest_first else "ASC"
        query = f"SELECT number, exposure_id FROM exposures WHERE state = ? ORDER BY number {order} LIMIT ?"  # noqa: S608  # fixed text
        found: list[WaitingExposure] = []
        with self._lock:
            for state in states:
                rows = self._db.execute(query, (state, most)).fetchall()
                found += [WaitingExposure(row["number"], UUID(row["exposure_id"]), state) for row in rows]
        return found

    def standing(self, movies: Collection[str]) -> dict[str, Standing]:
        """Return the state of each of these movies that the journal knows, cheaply."""
        if len(movies) > _MANY_MOVIES:
            return {movie: state for movie, state in self._standing("").items() if movie in movies}
        found: dict[str, Standing] = {}
        names = list(movies)
        for start in range(0, len(names), _NAMES_AT_ONCE):
            some = names[start : start + _NAMES_AT_ONCE]
            found |= self._standing(
                f"INDEXED BY exposures_by_movie WHERE movie IN ({', '.join('?' * len(some))})", *some
            )
        return found

    def standing_of_found(self) -> dict[str, Standing]:
        """Return each movie whose exposure is `found`."""
        return self._standing("WHERE state = ?", State.FOUND)

    def _standing(self, which: str, *values: str) -> dict[str, Standing]:
        query = (
            f"SELECT movie, exposure_id, state, size_bytes, mtime_ns, device, inode, ctime_ns FROM exposures {which}"  # noqa: S608  # fixed text
        )
        with self._lock:
            return {movie: Standing(*rest) for movie, *rest in self._db.execute(query, values)}

    def counts(self) -> dict[State, int]:
        """Return how many exposures are in each state."""
        with self._lock:
            rows = self._db.execute("SELECT state, count FROM state_counts").fetchall()
        found = {row["state"]: row["count"] for row in rows}
        return {state: found.get(state, 0) for state in State}

    def account(self) -> AgentAccount:
        """Return where the exposures are that the agent has seen."""
        with self._lock:
            return account_of_journal(self._db, self.about("source_name") or "")

    def released_unsent_count(self) -> int:
        """Return how many exposures were released without sending: the receiver had them, or had deleted them.

        Only such a release has a reason.
        """
        query = "SELECT count(*) FROM exposures WHERE state = 'released' AND reason != ''"  # as its index says it
        with self._lock:
            return int(self._db.execute(query).fetchone()[0])

    def newest_set_aside(self) -> ExposureRow | None:
        """Return the exposure that was held or failed last; None if there is none."""
        query = "SELECT * FROM exposures WHERE state = ? ORDER BY changed_at DESC LIMIT 1"
        with self._lock:
            rows = [self._db.execute(query, (state,)).fetchone() for state in SET_ASIDE]
        found = [row for row in rows if row is not None]
        return exposure_of(max(found, key=lambda row: row["changed_at"])) if found else None

    def change(self, exposure_id: UUID, to: State, reason: str = "", hint: str = "", **columns: Any) -> ExposureRow:
        """Take an exposure to another state: the only place where a state changes.

        Parameters
        ----------
        columns
            Further columns of its row that change in the same transaction.

        Raises
        ------
        WrongTransition
            `TRANSITIONS` does not permit it.
        """
        with self.transaction():
            before = self.exposure(exposure_id)
            if to not in TRANSITIONS[before.state]:
                raise WrongTransition(f"{before.movie} is {before.state}; it cannot become {to}")
            reason, hint = encodable(reason), encodable(hint)
            columns |= {"state": to, "reason": reason, "hint": hint, "changed_at": self._clock()}
            self._set(exposure_id, columns)
            self._event(exposure_id, to, reason)
            if to == State.RELEASED:
                columns["claim_reason"] = ClaimReason.NEW
            if to == State.COMMITTED:
                self._count_sent(before)
            after = self.exposure(exposure_id)
            self._changed.append(ExposureChanged.of(after))
            return after

    def explain(self, exposure_id: UUID, reason: str) -> None:
        """Say why an exposure stays in its state for now; its next state has a reason of its own."""
        with self.transaction():
            self._set(exposure_id, {"reason": encodable(reason)})
            self._changed.append(ExposureChanged.of(self.exposure(exposure_id)))

    def finish(self, exposure_id: UUID, identity: FileIdentity) -> ExposureRow:
        """Take an exposure to `finished`, with the identity of its movie; the movie's digests are not known yet."""
        return self.change(exposure_id, State.FINISHED, **identity_columns(identity), **_NO_DIGESTS)

    def set_aside(self, exposure_id: UUID, identity: FileIdentity | None, reason: str, hint: str) -> ExposureRow:
        """Fail an exposure whose movie stays broken or is gone (identity None); a change of it begins again."""
        columns = identity_columns(identity) if identity else dict.fromkeys(FileIdentity._fields)
        return self.change(exposure_id, State.FAILED, reason, hint, **{**columns, **_NO_DIGESTS})

    def seal(
        self,
        exposure_id: UUID,
        *,
        settings: dict[str, Any],
        outputs: Iterable[Output],
        record: ExposureRecord,
    ) -> ExposureRow:
        """Take an exposure to `aligned`: from now on exactly these bytes are sent."""
        with self.transaction():
            revision = self.exposure(exposure_id).revision
            self._replace_outputs(exposure_id, revision, revision, outputs)  # a restored receiver gives it again
            return self.change(
                exposure_id,
                State.ALIGNED,
                settings=json.dumps(settings, sort_keys=True),
                record=record.model_dump_json(),
                motion_angstrom=record.figures.get(MOTION_TOTAL),
                warnings=json.dumps([warning.text for warning in record.warnings]),
                attempts=0,
                **(_provenance_columns(record.provenance) if record.provenance else {}),
            )

    def note_movie(
        self,
        exposure_id: UUID,
        identity: FileIdentity,
        *,
        sampled_digest: str | None = None,
        movie_digest: str | None = None,
    ) -> None:
        """Note the identity that the movie has now, and digests of it that were computed; its content is the same."""
        digests = {"sampled_digest": sampled_digest, "movie_digest": movie_digest}
        known = {name: value for name, value in digests.items() if value is not None}
        with self.transaction():
            self._set(exposure_id, {**identity_columns(identity), **known})

    def has_digest(self, exposure_id: UUID) -> bool:
        """Return whether the sampled digest of an exposure's movie is known."""
        query = "SELECT 1 FROM exposures WHERE exposure_id = ? AND sampled_digest IS NOT NULL"
        with self._lock:
            return self._db.execute(query, (str(exposure_id),)).fetchone() is not None

    def without_digest(self) -> list[tuple[UUID, str]]:
        """Return id and movie of released exposures whose movie's digest is not known, the newest first.

        An agent of an older version noted none.
        """
        query = (
            "SELECT exposure_id, movie FROM exposures WHERE sampled_digest IS NULL AND state = ? AND size_bytes NOTNULL"
            " ORDER BY number DESC"
        )
        with self._lock:
            rows = self._db.execute(query, (State.RELEASED,)).fetchall()
        return [(UUID(row["exposure_id"]), row["movie"]) for row in rows]

    def adopt(self, exposure_id: UUID, answer: ClaimAnswer, *, is_name_taken: bool = False) -> ExposureRow:
        """Take over what the receiver calls an exposure: its id, revision, and the names and revisions of its files.

        What is sealed already gets these names too, in its record as well; the files in the work folder stay as they
        are. A file that has a receipt keeps its revision.

        Parameters
        ----------
        is_name_taken
            Another file has one of the names: each file that has no receipt becomes the next revision of its name.
        """
        with self.transaction():
            before = self.exposure(exposure_id)
            stem = answer.stem or before.published_stem
            is_deleted = answer.status is ClaimStatus.DELETED
            revision = before.revision if is_deleted else answer.revision
            columns: dict[str, Any] = {
                "receiver_exposure_id": str(answer.exposure_id or before.published_id),
                "receiver_stem": None if stem == before.remote_stem else stem,
                "revision": revision,
                "claimed_at": self._clock(),
            }
            if before.state in (State.ALIGNED, State.SENDING) and before.record is not None:
                outputs = [
                    renamed(output, before.published_stem, stem, answer.file_revisions, is_name_taken=is_name_taken)
                    for output in self.outputs(exposure_id, before.revision)
                ]
                self._replace_outputs(exposure_id, before.revision, revision, outputs)
                record = before.record.model_copy(
                    update={
                        "exposure_id": answer.exposure_id or before.published_id,
                        "revision": revision,
                        "files": references(outputs),
                    }
                )
                columns["record"] = record.model_dump_json()
            self._set(exposure_id, columns)
            return self.exposure(exposure_id)

    def note_elsewhere(self, exposure_id: UUID, on_receiver: UUID) -> None:
        """Note which exposure of the receiver a movie is that another agent works on, so that it is counted once."""
        with self.transaction():
            if self.exposure(exposure_id).receiver_exposure_id is None:
                self._set(exposure_id, {"receiver_exposure_id": str(on_receiver)})

    def _replace_outputs(self, exposure_id: UUID, old: int, new: int, outputs: Iterable[Output]) -> None:
        self._db.execute(
            "DELETE FROM outputs WHERE exposure_id = ? AND revision IN (?, ?)", (str(exposure_id), old, new)
        )
        self._insert_outputs(exposure_id, new, outputs)

    def _insert_outputs(self, exposure_id: UUID, revision: int, outputs: Iterable[Output]) -> None:
        for output in outputs:
            receipt = None if output.receipt is None else output.receipt.model_dump_json()
            self._db.execute(
                "INSERT INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (str(exposure_id), revision, output.role, output.local_path, output.remote_path,
                 output.file_revision, output.digest, output.size_bytes, receipt),
            )  # fmt: skip

    def forget_receipts(self, exposure_id: UUID, revision: int) -> None:
        """Forget the receipts of one revision, because the receiver has lost files that it gave receipts for."""
        with self.transaction():
            self._db.execute(
                "UPDATE outputs SET receipt = NULL WHERE exposure_id = ? AND revision = ?", (str(exposure_id), revision)
            )

    def released(self, after: int, most: int) -> list[ReleasedExposure]:
        """Return released exposures with a number above `after`, in the order of their numbers."""
        query = (
            f"SELECT {', '.join(ReleasedExposure._fields)} FROM exposures"  # noqa: S608  # our own columns' names
            " WHERE state = ? AND number > ? ORDER BY number LIMIT ?"
        )
        with self._lock:
            rows = self._db.execute(query, (State.RELEASED, after, most)).fetchall()
        return [released_of(row) for row in rows]

    def take_up_lost(self, exposure_id: UUID, why: str) -> ExposureRow | None:
        """Begin a released exposure again, because the receiver lost it; None if it is not released any more."""
        with self.transaction():
            if self.exposure(exposure_id).state != State.RELEASED:
                return None
            return self.begin_again(exposure_id, why)

    def begin_again(
        self,
        exposure_id: UUID,
        why: str,
        changes: dict[str, Any] | None = None,
        *,
        reason: ClaimReason = ClaimReason.NEW,
    ) -> ExposureRow:
        """Take a finished or set aside exposure to `found`: as its next revision, if this one was published.

        What was sealed but not published is forgotten: other bytes will be sent.

        Parameters
        ----------
        changes
            What to change in the agent's settings for it; None: as before.
        reason
            What the receiver is told why.
        """
        with self.transaction():
            before = self.exposure(exposure_id)
            columns: dict[str, Any] = {
                "attempts": 0,
                "claim_reason": reason,
                "claimed_at": None,
                "settings_digest": None,
            }
            if changes is not None:
                columns["changes"] = json.dumps(changes, sort_keys=True)
            if before.state == State.RELEASED:
                columns["revision"] = before.revision + 1
            else:
                self._db.execute(
                    "DELETE FROM outputs WHERE exposure_id = ? AND revision = ?", (str(exposure_id), before.revision)
                )
            return self.change(exposure_id, State.FOUND, why, **columns)

    def change_settings(self, exposure_id: UUID, why: str, changes: dict[str, Any]) -> ExposureRow:
        """Change the agent's settings for an exposure that is found and waits: it stays found.

        Raises
        ------
        WrongTransition
            It is not found any more.
        """
        with self.transaction():
            before = self.exposure(exposure_id)
            if before.state != State.FOUND:
                raise WrongTransition(f"{before.movie} is {before.state}; its settings cannot change now")
            self._set(exposure_id, {"changes": json.dumps(changes, sort_keys=True), "reason": encodable(why)})
            self._event(exposure_id, State.FOUND, why)
            after = self.exposure(exposure_id)
            self._changed.append(ExposureChanged.of(after))
            return after

    def count_attempt(self, exposure_id: UUID) -> int:
        """Count one more attempt to align, and return how many that makes."""
        with self.transaction():
            attempts = self.exposure(exposure_id).attempts + 1
            self._set(exposure_id, {"attempts": attempts})
            return attempts

    # ---- outputs and events

    def outputs(self, exposure_id: UUID, revision: int) -> list[Output]:
        """Return the sealed outputs of one revision, by role."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM outputs WHERE exposure_id = ? AND revision = ? ORDER BY role",
                (str(exposure_id), revision),
            ).fetchall()
        return [output_of(row) for row in rows]

    def keep_receipt(
        self, exposure_id: UUID, revision: int, role: str, receipt: Receipt, seen_before: int | None = None
    ) -> None:
        """Keep the receiver's receipt for one output; note it if it shows that the receiver went back in time.

        Parameters
        ----------
        seen_before
            The newest sequence number that was known before the file was sent; None: not known.
        """
        with self.transaction():
            self._db.execute(
                "UPDATE outputs SET receipt = ? WHERE exposure_id = ? AND revision = ? AND role = ?",
                (receipt.model_dump_json(), str(exposure_id), revision, role),
            )
            self._db.execute("INSERT OR REPLACE INTO committed VALUES (?, ?)", (receipt.path, receipt.revision))
            if receipt.sequence is not None:
                self._db.execute(
                    "INSERT INTO about VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
                    " WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
                    (NEWEST_SEQUENCE, str(receipt.sequence)),
                )
                if receipt.is_new and seen_before is not None and receipt.sequence <= seen_before:
                    self.note(**{WENT_BACK: f"its new commit is number {receipt.sequence}, after number {seen_before}"})

    def next_revision(self, remote_path: str) -> int:
        """Return the revision that a new file of that name gets on the receiver."""
        with self._lock:
            row = self._db.execute("SELECT revision FROM committed WHERE remote_path = ?", (remote_path,)).fetchone()
        return 1 if row is None else int(row["revision"]) + 1

    def event(self, kind: str, detail: str, exposure_id: UUID | None = None) -> None:
        """Note something that happened."""
        with self.transaction():
            self._event(exposure_id, kind, detail)

    def events(self, exposure_id: UUID | None = None) -> list[tuple[str, str]]:
        """Return (kind, detail) of what happened (to one exposure), oldest first."""
        where, values = ("WHERE exposure_id = ?", (str(exposure_id),)) if exposure_id else ("", ())
        with self._lock:
            rows = self._db.execute(f"SELECT kind, detail FROM events {where} ORDER BY number", values).fetchall()  # noqa: S608  # fixed text
        return [(row["kind"], row["detail"]) for row in rows]

    # ---- inside

    def _one(self, where: str, value: str) -> ExposureRow:
        with self._lock:
            row = self._db.execute(f"SELECT * FROM exposures WHERE {where}", (value,)).fetchone()  # noqa: S608  # fixed text
        if row is None:
            raise JournalError(f"the journal knows no exposure {value!r}")
        return exposure_of(row)

    def _set(self, exposure_id: UUID, columns: dict[str, Any]) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self._db.execute(
            f"UPDATE exposures SET {names} WHERE exposure_id = ?",  # noqa: S608  # our own columns' names
            (*columns.values(), str(exposure_id)),
        )

    def _count_sent(self, exposure: ExposureRow) -> None:
        """Count an exposure, and the bytes of its files, as sent in the present minute."""
        self._db.execute(
            "INSERT INTO sent SELECT ?, 1, coalesce(sum(size_bytes), 0) FROM outputs"
            " WHERE exposure_id = ? AND revision = ?"
            " ON CONFLICT (minute) DO UPDATE"
            " SET movies = movies + excluded.movies, size_bytes = size_bytes + excluded.size_bytes",
            (int(self._clock() // 60), str(exposure.exposure_id), exposure.revision),
        )

    def _event(self, exposure_id: UUID | None, kind: str, detail: str) -> None:
        subject = None if exposure_id is None else str(exposure_id)
        self._db.execute(
            "INSERT INTO events (at, exposure_id, kind, detail, writer) VALUES (?, ?, ?, ?, ?)",
            (self._clock(), subject, kind, detail, self._writer),
        )


def _provenance_columns(provenance: ProvenanceRecord) -> dict[str, Any]:
    """Return the columns that tell from what and how an exposure was made; what is not known stays as it was."""
    columns = {"movie_digest": provenance.movie_digest, "settings_digest": provenance.settings_digest}
    known: dict[str, Any] = {name: value for name, value in columns.items() if value is not None}
    return known | {"has_gain": provenance.gain_digest is not None}
