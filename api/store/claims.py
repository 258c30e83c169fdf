"""Claims: tells an agent which exposure each of its movies is, and whether it may align it.

Most claims change nothing: they are answered from a few reads of many claims at a time. Only what a claim changes takes
the database's one writer, and then the claim is decided again from what is there at that moment. So the same claim
again gets the same answer, and of several agents that claim the same movie one gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, func, insert, select, update

from api.database.engine import Database
from api.database.tables import claimed_exposures, files, movie_paths, movies
from api.store.claim_decisions import Decision, Known, KnownExposure, KnownMovie, decide
from api.store.exposure_files import FoundFiles, files_of_newest, find_files, note_found
from api.store.free_stem import free_stem
from api.store.known_movies import known_of, path_key
from api.store.leases import SeenAgent, seen_agents
from api.store.storage import Storage
from api.store.taken_names import take_stem
from transfer.wire.agent_status import LEASE_S
from transfer.wire.exposure_claim import ClaimAnswer, ClaimBatch, ClaimStatus, MovieClaim

READ_AT_ONCE = 100
"""So many claims are read in one transaction: a reader of SQLite keeps writers waiting."""
WRITTEN_AT_ONCE = 25
"""So many claims are granted in one transaction: uploads wait for it."""

_RENEW = (
    update(claimed_exposures)
    .where(claimed_exposures.c.id == bindparam("key"))
    .values(agent=bindparam("by"), claimed_at=bindparam("moment"), revision=bindparam("granted"))
)
_ADD_EXPOSURE = insert(claimed_exposures).returning(claimed_exposures.c.id)
_ADD_MOVIE = insert(movies).returning(movies.c.id)
_COMPLETE_MOVIE = (
    update(movies)
    .where(movies.c.id == bindparam("key"))
    .values(
        size_bytes=bindparam("size"),
        sampled_digest=bindparam("sampled"),
        movie_digest=bindparam("digest"),
        source=bindparam("at_source"),
        path=bindparam("at_path"),
    )
)
_ADD_PATH = insert(movie_paths)
_MOVE_PATH = (
    update(movie_paths)
    .where(movie_paths.c.session_id == bindparam("session"), movie_paths.c.path_key == bindparam("key"))
    .values(movie=bindparam("of_movie"))
)
_NEWEST_FILES = (
    select(files.c.path, func.max(files.c.revision))
    .where(files.c.session_id == bindparam("session_id"), files.c.path.in_(bindparam("paths", expanding=True)))
    .group_by(files.c.path)
)


@dataclass(frozen=True)
class _Present:
    """What is true at the moment of a claim; see `api.store.claim_decisions.PresentFacts`."""

    moment: datetime
    agents: dict[UUID, SeenAgent]
    lost_exposures: frozenset[UUID] = frozenset()

    def holder_works(self, exposure: KnownExposure) -> bool:
        seen = self.agents.get(exposure.agent) if exposure.agent is not None else None
        if seen is None or seen.reported_at < exposure.claimed_at:
            return self.was_claimed_lately(exposure)
        return seen.may_work and self._is_recent(max(seen.reported_at, exposure.claimed_at))

    def was_claimed_lately(self, exposure: KnownExposure) -> bool:
        return self._is_recent(exposure.claimed_at)

    def has_files(self, exposure: KnownExposure) -> bool:
        return exposure.exposure_id not in self.lost_exposures

    def _is_recent(self, sign_of_life: datetime) -> bool:
        return abs(self.moment - sign_of_life) <= timedelta(seconds=LEASE_S)  # abs: the clock may be set back


class ClaimBook:
    """Answers claims.

    Parameters
    ----------
    database
        The receiver's database.
    storage
        Where the committed files are.
    clock
        Returns the present time.
    """

    def __init__(self, database: Database, storage: Storage, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._storage = storage
        self._clock = clock

    def answer(self, session_id: int, batch: ClaimBatch) -> tuple[ClaimAnswer, ...]:
        """Decide the claims of a batch, in its order, and note what the answers promise.

        Raises
        ------
        OSError
            The disk reports an error while the files of published exposures are looked for.
        """
        answers = dict[int, ClaimAnswer]()
        for part in _parts(list(enumerate(batch.claims)), READ_AT_ONCE):
            to_write, found = self._read(session_id, batch.agent, part, answers)
            for few in _parts(to_write, WRITTEN_AT_ONCE):
                self._write(session_id, batch.agent, few, found, answers)
                found = FoundFiles(lost_exposures=found.lost_exposures)  # the rest of it is noted
        return tuple(answers[number] for number in range(len(batch.claims)))

    def _read(
        self, session_id: int, agent: UUID, part: Sequence[tuple[int, MovieClaim]], answers: dict[int, ClaimAnswer]
    ) -> tuple[list[tuple[int, MovieClaim]], FoundFiles]:
        """Answer the claims that change nothing; return the others, and how the files are on which answers rely."""
        claims = [claim for _, claim in part]
        with self._database.read() as connection:
            known = known_of(connection, session_id, claims)
            present = self._present(connection, session_id, known)
            decisions = [decide(claim, agent, known, present) for claim in claims]
            relied_on = {one.exposure.exposure_id for one in decisions if one.relies_on_disk and one.exposure}
            exposure_files = files_of_newest(connection, session_id, relied_on)
        found = find_files(self._storage, exposure_files)
        to_write = []
        for (number, claim), decision in zip(part, decisions, strict=True):
            is_lost = decision.exposure is not None and decision.exposure.exposure_id in found.lost_exposures
            if is_lost or _changes(claim, decision, known):
                to_write.append((number, claim))
            else:
                answers[number] = _answer(decision, present)
        if not to_write and (found.same or found.lost):
            with self._database.write() as connection:
                note_found(connection, self._storage, found, self._clock())
        return to_write, found

    def _write(
        self,
        session_id: int,
        agent: UUID,
        few: Sequence[tuple[int, MovieClaim]],
        found: FoundFiles,
        answers: dict[int, ClaimAnswer],
    ) -> None:
        with self._database.write() as connection:
            note_found(connection, self._storage, found, self._clock())
            for number, claim in few:
                known = known_of(connection, session_id, [claim])
                present = self._present(connection, session_id, known, frozenset(found.lost_exposures))
                decision = decide(claim, agent, known, present)
                noted = _Noting(connection, session_id, agent, claim, known, present.moment)
                answers[number] = (
                    noted.grant(decision) if decision.status == ClaimStatus.CLAIMED else _answer(decision, present)
                )
                if decision.status == ClaimStatus.COMMITTED and _changes(claim, decision, known):
                    noted.note_movie(decision)

    def _present(
        self, connection: Connection, session_id: int, known: Known, lost_exposures: frozenset[UUID] = frozenset()
    ) -> _Present:
        holders = {movie.exposure.agent for movie in known.movies() if movie.exposure.is_pending}
        moment = self._clock()
        agents = seen_agents(connection, session_id, [agent for agent in holders if agent is not None])
        return _Present(moment, agents, lost_exposures)


def _parts(claims: Sequence[tuple[int, MovieClaim]], count: int) -> Iterator[Sequence[tuple[int, MovieClaim]]]:
    for first in range(0, len(claims), count):
        yield claims[first : first + count]


def _changes(claim: MovieClaim, decision: Decision, known: Known) -> bool:
    """Return whether an answer must be noted in the database."""
    if decision.status == ClaimStatus.COMMITTED and decision.movie is not None:
        there = known.by_path.get((claim.source, claim.path))
        return there is not decision.movie or _completed(claim, decision.movie) is not None
    return decision.status == ClaimStatus.CLAIMED


def _completed(claim: MovieClaim, movie: KnownMovie) -> dict[str, Any] | None:
    """Return what a claim tells of a movie, as values of `_COMPLETE_MOVIE`; None if all of it is known."""
    digest = movie.movie_digest if claim.movie_digest is None else claim.movie_digest
    before = (movie.size_bytes, movie.sampled_digest, movie.movie_digest, movie.source, movie.path)
    after = (claim.size_bytes, claim.sampled_digest, digest, claim.source, claim.path)
    names = ("size", "sampled", "digest", "at_source", "at_path")
    return None if before == after else dict(zip(names, after, strict=True))


def _answer(decision: Decision, present: _Present) -> ClaimAnswer:
    """Return the answer to a claim that is not granted."""
    exposure = decision.exposure
    if exposure is None:
        return ClaimAnswer(status=decision.status, detail=decision.detail)
    detail = decision.detail
    if decision.status == ClaimStatus.ELSEWHERE and not detail:
        seen = present.agents.get(exposure.agent) if exposure.agent is not None else None
        detail = f"agent {exposure.agent}" + (f" on {seen.host}" if seen is not None else "")
    return ClaimAnswer(
        status=decision.status,
        exposure_id=exposure.exposure_id,
        revision=max(1, exposure.published_revision),
        stem=exposure.stem,
        detail=detail,
    )


@dataclass(frozen=True)
class _Noting:
    """Notes one claim of an agent, in a transaction."""

    connection: Connection
    session_id: int
    agent: UUID
    claim: MovieClaim
    known: Known
    moment: datetime

    def grant(self, decision: Decision) -> ClaimAnswer:
        """Note that the agent works on the exposure, which may be new; return the answer."""
        exposure, claim = decision.exposure, self.claim
        if exposure is None:
            revision, exposure_id = 1, self._new_id()
            stem = free_stem(self.connection, self.session_id, claim.stem, claim.suffixes, exposure_id)
            take_stem(self.connection, self.session_id, stem)
            key = self._add_exposure(exposure_id, stem)
        else:
            revision, exposure_id, stem, key = (
                exposure.published_revision + 1,
                exposure.exposure_id,
                exposure.stem,
                exposure.key,
            )
            self.connection.execute(_RENEW, {"key": key, "by": self.agent, "moment": self.moment, "granted": revision})
        self._note_movie(decision.movie, key)
        return ClaimAnswer(
            status=ClaimStatus.CLAIMED,
            exposure_id=exposure_id,
            revision=revision,
            stem=stem,
            file_revisions=self._file_revisions(stem),
        )

    def note_movie(self, decision: Decision) -> None:
        """Note what the claim tells of a movie that is committed."""
        if decision.exposure is not None:
            self._note_movie(decision.movie, decision.exposure.key)

    def _new_id(self) -> UUID:
        proposed = self.claim.exposure_id
        return uuid4() if proposed in self.known.by_proposed_id or proposed in self.known.deleted else proposed

    def _add_exposure(self, exposure_id: UUID, stem: str) -> int:
        values = {
            "session_id": self.session_id,
            "exposure_id": exposure_id,
            "stem": stem,
            "revision": 1,
            "agent": self.agent,
            "claimed_at": self.moment,
        }
        key: int = self.connection.execute(_ADD_EXPOSURE, values).scalar_one()
        return key

    def _note_movie(self, movie: KnownMovie | None, exposure_key: int) -> None:
        claim = self.claim
        if movie is None:
            values = {
                "session_id": self.session_id,
                "claimed_exposure": exposure_key,
                "size_bytes": claim.size_bytes,
                "sampled_digest": claim.sampled_digest,
                "movie_digest": claim.movie_digest,
                "source": claim.source,
                "path": claim.path,
            }
            key: int = self.connection.execute(_ADD_MOVIE, values).scalar_one()
        else:
            key = movie.key
            if (completed := _completed(claim, movie)) is not None:
                self.connection.execute(_COMPLETE_MOVIE, {"key": key, **completed})
        there = self.known.by_path.get((claim.source, claim.path))
        place = path_key(claim.source, claim.path)
        if there is None:
            self.connection.execute(
                _ADD_PATH,
                {
                    "session_id": self.session_id,
                    "path_key": place,
                    "movie": key,
                    "source": claim.source,
                    "path": claim.path,
                },
            )
        elif there.key != key:
            self.connection.execute(_MOVE_PATH, {"session": self.session_id, "key": place, "of_movie": key})

    def _file_revisions(self, stem: str) -> dict[str, int]:
        by_path = {stem + suffix: suffix for suffix in self.claim.suffixes}
        if not by_path:
            return {}
        rows = self.connection.execute(_NEWEST_FILES, {"session_id": self.session_id, "paths": list(by_path)})
        return {by_path[path]: revision for path, revision in rows}
