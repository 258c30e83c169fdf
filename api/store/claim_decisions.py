"""Decides claims: which exposure a movie belongs to, and who may align it now. No database, no clock.

The order is: a known movie is its exposure, under whatever path it comes; else a known path of the same source is the
next revision of its exposure; else the movie is new. Two movies are the same only if the digests of the whole files
are equal, or if one was claimed before from the same path with the same sampled digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from transfer.wire.exposure_claim import ClaimReason, ClaimStatus, MovieClaim


@dataclass(frozen=True, slots=True)
class KnownExposure:
    """An exposure that was claimed or published.

    Attributes
    ----------
    key
        In the database.
    granted_revision
        Of the last claim that was granted.
    agent
        Which has the last claim; None: published without a claim.
    published_revision
        Of the newest record; 0: none.
    settings_digest
        Of the newest record; None: not known.
    deleted
        Why it was deleted on purpose; None: it was not.
    """

    key: int
    exposure_id: UUID
    stem: str
    granted_revision: int
    agent: UUID | None
    claimed_at: datetime
    published_revision: int
    settings_digest: str | None
    deleted: str | None

    @property
    def is_pending(self) -> bool:
        """Whether an agent has claimed a revision that is not published."""
        return self.agent is not None and self.granted_revision > self.published_revision


@dataclass(frozen=True, slots=True)
class KnownMovie:
    """The content of a movie that was claimed or published, and where it was seen last.

    Attributes
    ----------
    key
        In the database.
    size_bytes, sampled_digest, movie_digest
        None: not known.
    published_revision
        Of its exposure: the newest record that was made from this content; None: none.
    """

    key: int
    exposure: KnownExposure
    size_bytes: int | None
    sampled_digest: str | None
    movie_digest: str | None
    source: str
    path: str
    published_revision: int | None

    def was_seen_last_at(self, claim: MovieClaim) -> bool:
        """Return whether the claim's path is where this content was seen last."""
        return (self.source, self.path) == (claim.source, claim.path)

    def may_be(self, claim: MovieClaim) -> bool:
        """Return whether nothing that is known of both distinguishes this content from the claim's."""
        return (
            self.sampled_digest in (None, claim.sampled_digest)
            and self.size_bytes in (None, claim.size_bytes)
            and (None in (self.movie_digest, claim.movie_digest) or self.movie_digest == claim.movie_digest)
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says that concerns some claims.

    Attributes
    ----------
    by_digest
        Movies by movie digest.
    by_sample
        Movies by sampled digest and size.
    by_path
        Movies by source and path.
    by_proposed_id
        Exposures by the ids that the claims propose.
    unidentified
        Movies of which neither digest is known, by the id of their exposure, if a claim proposes that id.
    deleted
        Why exposures were deleted, by the ids that the claims propose.
    """

    by_digest: dict[str, KnownMovie] = field(default_factory=dict)
    by_sample: dict[tuple[str, int], list[KnownMovie]] = field(default_factory=dict)
    by_path: dict[tuple[str, str], KnownMovie] = field(default_factory=dict)
    by_proposed_id: dict[UUID, KnownExposure] = field(default_factory=dict)
    unidentified: dict[UUID, KnownMovie] = field(default_factory=dict)
    deleted: dict[UUID, str] = field(default_factory=dict)

    def movies(self) -> Iterator[KnownMovie]:
        """Yield all movies, some of them more than once."""
        yield from self.by_digest.values()
        yield from self.by_path.values()
        yield from self.unidentified.values()
        for alike in self.by_sample.values():
            yield from alike


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered to a claim.

    Attributes
    ----------
    exposure
        Which exposure it is; None: a new one, or none.
    movie
        The movie's content if it is known.
    relies_on_disk
        The answer is right only if the files of the exposure's newest record are on the disk.
    detail
        For people.
    """

    status: ClaimStatus
    exposure: KnownExposure | None = None
    movie: KnownMovie | None = None
    relies_on_disk: bool = False
    detail: str = ""


class PresentFacts(Protocol):
    """What is true at the moment of the claim."""

    def holder_works(self, exposure: KnownExposure) -> bool:
        """Return whether the agent that has claimed an exposure still works."""

    def was_claimed_lately(self, exposure: KnownExposure) -> bool:
        """Return whether the exposure was claimed within `LEASE_S`."""

    def has_files(self, exposure: KnownExposure) -> bool:
        """Return whether the files of the newest record of an exposure are on the disk."""


def decide(claim: MovieClaim, agent: UUID, known: Known, present: PresentFacts) -> Decision:
    """Decide one claim of an agent."""
    movie = _known_movie(claim, known)
    if movie is not None:
        return _of_known(claim, agent, movie, present)
    if claim.movie_digest is None and _is_doubtful(claim, known):
        return Decision(ClaimStatus.DIGEST_NEEDED)
    there = known.by_path.get((claim.source, claim.path))
    if there is not None and there.was_seen_last_at(claim) and there.exposure.deleted is None:
        return _granted(agent, there.exposure, None, present)
    reason = known.deleted.get(claim.exposure_id)
    if reason is not None and claim.exposure_id not in known.by_proposed_id:
        return Decision(ClaimStatus.DELETED, detail=reason)
    for other in known.by_sample.get((claim.sampled_digest, claim.size_bytes), ()):
        # It may be the same movie: its agent will tell the digest of the whole file when it publishes the exposure.
        if other.movie_digest is None and _is_taken(agent, other.exposure, present):
            return Decision(ClaimStatus.ELSEWHERE, other.exposure)
    return Decision(ClaimStatus.CLAIMED)


def _known_movie(claim: MovieClaim, known: Known) -> KnownMovie | None:
    if claim.movie_digest is not None and (same := known.by_digest.get(claim.movie_digest)):
        return same
    there = known.by_path.get((claim.source, claim.path))
    if there is not None and there.may_be(claim) and (claim.movie_digest is not None or not _is_digest_only(there)):
        return there
    if there is None and not _is_doubtful(claim, known):
        return known.unidentified.get(claim.exposure_id) or _published_without_digest(claim, known)
    return None


def _published_without_digest(claim: MovieClaim, known: Known) -> KnownMovie | None:
    """Return the published movie of the same sampled digest whose whole digest nobody told: of an older agent."""
    alike = known.by_sample.get((claim.sampled_digest, claim.size_bytes), ()) if claim.movie_digest else ()
    return next((each for each in alike if each.movie_digest is None and each.published_revision is not None), None)


def _is_digest_only(movie: KnownMovie) -> bool:
    return movie.sampled_digest is None and movie.movie_digest is not None


def _is_doubtful(claim: MovieClaim, known: Known) -> bool:
    """Return whether it takes the digest of the whole movie to tell whether the movie is known."""
    if claim.movie_digest is not None:
        return False
    there = known.by_path.get((claim.source, claim.path))
    if there is not None and there.may_be(claim):
        return _is_digest_only(there)
    return (claim.sampled_digest, claim.size_bytes) in known.by_sample


def _of_known(claim: MovieClaim, agent: UUID, movie: KnownMovie, present: PresentFacts) -> Decision:
    exposure = movie.exposure
    if exposure.deleted is not None:
        return Decision(ClaimStatus.DELETED, exposure, movie, detail=exposure.deleted)
    if movie.published_revision is not None and not _is_wanted_again(claim, movie):
        is_newest = movie.published_revision == exposure.published_revision
        if not is_newest or present.has_files(exposure):
            return Decision(ClaimStatus.COMMITTED, exposure, movie, relies_on_disk=is_newest)
    if _is_done_under_another_path(claim, agent, movie) and present.was_claimed_lately(exposure):
        return Decision(ClaimStatus.ELSEWHERE, exposure, movie, detail=f"this agent claimed it as {movie.path}")
    return _granted(agent, exposure, movie, present)


def _is_wanted_again(claim: MovieClaim, movie: KnownMovie) -> bool:
    """Return whether a movie that is published is to be done again.

    A late input that has been used already, perhaps by another agent, gives the same result; so does a change.
    """
    if claim.reason in (ClaimReason.LATE_INPUT, ClaimReason.CHANGED):
        is_newest = movie.published_revision == movie.exposure.published_revision
        is_same = claim.settings_digest is not None and claim.settings_digest == movie.exposure.settings_digest
        return not (is_newest and is_same)
    return claim.reason == ClaimReason.RETRY


def _is_done_under_another_path(claim: MovieClaim, agent: UUID, movie: KnownMovie) -> bool:
    """Return whether the agent has claimed a copy of the movie, which is another exposure to it."""
    exposure = movie.exposure
    is_own = exposure.is_pending and exposure.agent == agent
    return is_own and claim.exposure_id != exposure.exposure_id and not movie.was_seen_last_at(claim)


def _granted(agent: UUID, exposure: KnownExposure, movie: KnownMovie | None, present: PresentFacts) -> Decision:
    if _is_taken(agent, exposure, present):
        return Decision(ClaimStatus.ELSEWHERE, exposure, movie)
    return Decision(ClaimStatus.CLAIMED, exposure, movie)


def _is_taken(agent: UUID, exposure: KnownExposure, present: PresentFacts) -> bool:
    return exposure.is_pending and exposure.agent != agent and present.holder_works(exposure)
